#!/bin/sh
# Hands the database's password to the gateway by a password file, so that it stands in no environment and no command
# line, then becomes `origin "$@"`.
set -eu
file=${DATABASE_PASSWORD_FILE:-/run/secrets/database-password}
if [ -e "$file" ]; then
    password=$(cat "$file") || exit 2
    case $password in
        "" | change-me | changeme | origin | postgres | password)
            echo "origin: $file holds no password of your own; change it: openssl rand -hex 24 > $file" >&2
            exit 2
            ;;
        *[!A-Za-z0-9._~-]*)  # programs that read password files don't agree on how to escape
            echo "origin: in $file use letters, digits and . _ ~ - only: openssl rand -hex 24 > $file" >&2
            exit 2
            ;;
    esac
    umask 077
    export PGPASSFILE="${PGPASSFILE:-/run/origin/pgpass}"
    printf '*:*:*:*:%s\n' "$password" > "$PGPASSFILE"
fi
exec origin "$@"
