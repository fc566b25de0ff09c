"""A document judged as the gateway judges it, without the database behind it."""

from collections.abc import Sequence
from functools import cache

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.faults import Fault, Refused
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Client, Submission
from renderers import fonts
from renderers.printable import PrintableChecks

CLIENT = Client("erp", "91330299MA9XYD0C2A")


@cache
def examiner() -> Examiner:
    """Both dialects, the rules of all types, the room on paper, the fonts."""
    dialects = {one.media_type: one for one in (CustomsXml(), EnterpriseJson())}
    return Examiner(dialects, PrintableChecks(ProfileChecks()), fonts.missing)


def judged(media_type: str, body: bytes) -> tuple[bool, Sequence[Fault]]:
    """(accepted, what is said of it); nothing but Refused is raised."""
    try:
        return True, examiner().examine(Submission(CLIENT, media_type, body, "http")).warnings
    except Refused as refused:
        return False, refused.faults


def judged_at_once(media_type: str, body: bytes) -> tuple[bool, Sequence[Fault]] | None:
    """The same as the event loop itself does it; None: it is left to be examined beside the loop."""
    try:
        examined = examiner().at_once(Submission(CLIENT, media_type, body, "http"))
    except Refused as refused:
        return False, refused.faults
    return None if examined is None else (True, examined.warnings)
