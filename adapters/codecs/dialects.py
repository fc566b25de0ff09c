"""What a declaration may be written in, by media type."""

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.ports import Dialect


def dialects() -> dict[str, Dialect]:
    """The official dialect and the enterprise's."""
    known: tuple[Dialect, ...] = (CustomsXml(), EnterpriseJson())
    return {dialect.media_type: dialect for dialect in known}
