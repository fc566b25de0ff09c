"""A document judged as the gateway's door judges it, without the database behind it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.faults import Fault, Refused
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.door import Client, Door, Submission
from renderers import fonts
from renderers.printable import PrintableChecks

CLIENT = Client("erp", "91330299MA9XYD0C2A")
NOTHING: Any = None


@cache
def door() -> Door:
    """Both dialects, the rules of all types, the room on paper, the fonts."""
    dialects = {one.media_type: one for one in (CustomsXml(), EnterpriseJson())}
    return Door(NOTHING, dialects, PrintableChecks(ProfileChecks()), NOTHING, NOTHING, fonts.missing)


def judged(media_type: str, body: bytes) -> tuple[bool, Sequence[Fault]]:
    """(accepted, what is said of it); nothing but Refused is raised."""
    try:
        return True, door().examine(Submission(CLIENT, media_type, body, "http")).warnings
    except Refused as refused:
        return False, refused.faults
