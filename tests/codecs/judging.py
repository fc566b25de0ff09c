"""A document judged as the gateway judges it, without the database behind it."""

from collections.abc import Sequence
from functools import cache

from gateway.core.faults import Fault, Refused
from gateway.examiner import new_examiner
from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Client, Submission

CLIENT = Client("erp", "91330299MA9XYD0C2A")


@cache
def examiner() -> Examiner:
    """The gateway's own, made once."""
    return new_examiner()


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
