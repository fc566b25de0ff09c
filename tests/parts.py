"""Parts of a machine that some tests need and Python packages can't bring, and which Debian package has them.

One table for two readers: the NOT RUN report at the end of a test run, and `.ci/run`, which installs what is
missing (``python3 tests/parts.py`` prints those packages). Standard library only: it runs before any set-up.
"""

import shutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "pdfsig": "poppler-utils",
        "pdftoppm": "poppler-utils",
        "pdftotext": "poppler-utils",
        "pdffonts": "poppler-utils",
        "pdfinfo": "poppler-utils",
        "qpdf": "qpdf",
        "openssl": "openssl",
        "pg_ctlcluster": "postgresql",  # the distribution's own server, whatever its version
        "pgbouncer": "pgbouncer",
        "kcat": "kcat",
        "promtool": "prometheus",
        "prometheus": "prometheus",
        "prometheus-alertmanager": "prometheus-alertmanager",
        "amtool": "prometheus-alertmanager",
        "wrk": "wrk",
    }
)
"""Program -> Debian package."""

SERVERS = "/usr/sbin"


def missing(parts: Iterable[str]) -> list[str]:
    """Those of `parts` that this machine lacks. A name outside the table is a KeyError: a typo never runs."""
    unknown = [part for part in parts if part not in PACKAGES]
    if unknown:
        raise KeyError(f"not in tests/parts.py: {', '.join(unknown)}")
    return [part for part in parts if found(part) is None]


def found(part: str) -> str | None:
    """Where the program is. Debian keeps servers in a folder that is on root's PATH only."""
    return shutil.which(part) or shutil.which(part, path=SERVERS)


def remedy(parts: Iterable[str]) -> str:
    """The command that gets `parts`."""
    return f"apt-get install {' '.join(sorted({PACKAGES[part] for part in parts}))}"


if __name__ == "__main__":
    for package in sorted({PACKAGES[part] for part in missing(list(PACKAGES))}):
        print(package)
