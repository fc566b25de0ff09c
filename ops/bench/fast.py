"""What each fast way of the codecs buys beside its plain twin of the same run."""

from collections.abc import Callable
from statistics import median
from uuid import UUID

import orjson

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.gateway_xml import GatewayCodec
from ops.bench.documents import templates
from ops.bench.figures import Figure, Progress, interleaved, rate, ratio_of, timed
from ops.bench.ground import Ground
from ops.bench.turning import accepted

Way = Callable[[], object]


async def measure(_: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """A figure a way; the ratio is how many times the plain twin's rate."""
    rounds, seconds = (3, 0.05) if quick else (9, 0.3)
    figures = []
    for name, (ours, plain) in ways().items():
        found = interleaved(
            progress,
            name,
            rounds,
            fast=lambda ours=ours: 1e6 / timed(ours, seconds),  # type: ignore[misc]
            plain=lambda plain=plain: 1e6 / timed(plain, seconds),  # type: ignore[misc]
        )
        ratio = ratio_of(found["fast"], found["plain"])
        figures.append(rate(name, median(found["fast"]), "1/s", "its plain twin", median(found["plain"]), None, ratio))
    return figures


def ways() -> dict[str, tuple[Way, Way]]:
    """Fast and plain, of a usual document (`documents`) and of the message that goes out for each."""
    xml, enterprise, codec = CustomsXml(), EnterpriseJson(), GatewayCodec()
    official = templates()[0].document(1)
    content = templates(enterprise.media_type)[0].document(1)
    fields = xml.read(official).fields
    message = accepted(UUID(int=2), "C26MA9XYD0C20001").model_copy(update={"reference": "SO-2026-1102"})
    return {
        "a declaration read, XML": (lambda: xml.read(official), lambda: xml.read_closely(official)),
        "a declaration written, XML": (lambda: xml.write(fields), lambda: xml.write_closely(fields)),
        "a declaration read, JSON": (
            lambda: enterprise.read(content),
            lambda: enterprise.read_closely(orjson.loads(content), lambda _: ("", None)),
        ),
        "a message encoded": (lambda: codec.encode(message), lambda: codec.encode_closely(message)),
    }
