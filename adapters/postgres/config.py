"""What the embedded server is told: durable, sockets only, modest, and nothing personal in its log."""

ROLE = "origin"
DATABASE = "origin"
SUPERUSER = "postgres"

SETTINGS = """\
# Written by the gateway at every start: changes made here are lost.
# server: {server}
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
superuser_reserved_connections = 3

# A certificate that was accepted is never lost: these three stay on.
fsync = on
full_page_writes = on
synchronous_commit = on

shared_buffers = 128MB
max_wal_size = 1GB
min_wal_size = 160MB
checkpoint_timeout = 10min
jit = off
max_parallel_workers_per_gather = 0
random_page_cost = 1.1

# A client that vanished in the middle of a transaction must not hold its locks.
idle_in_transaction_session_timeout = 15s

# The log's newest partition is never still for long.
autovacuum_naptime = 20s

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
datestyle = 'ISO, YMD'

# Statements and keys can carry people's data: the log names the error, not the values.
log_destination = 'stderr'
logging_collector = off
log_statement = none
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_autovacuum_min_duration = -1
"""

HBA = """\
# Only through the private socket directory, and only who the kernel says they are.
local all all peer map=origin
"""

BOOTSTRAP = (
    f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
    f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
)


FILES = (("config", "postgresql.conf"), ("hba", "pg_hba.conf"), ("ident", "pg_ident.conf"))
"""What the server calls a file, and our name for it."""


def files(server: str, gateway_user: str) -> dict[str, str]:
    """File name -> text. `server` names the program, so that another version means a restart."""
    ident = "".join(f'origin "{gateway_user}" {role}\n' for role in (ROLE, SUPERUSER))
    return {"postgresql.conf": SETTINGS.format(server=server), "pg_hba.conf": HBA, "pg_ident.conf": ident}
