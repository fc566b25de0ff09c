"""Whose declaration it is: who may declare, and for whom (ops/decisions/0023, 0039). Pure."""

from gateway.core.faults import Fault
from gateway.ports import Reading
from gateway.runtime import door_faults
from gateway.runtime.submission import Client


def faults(reading: Reading, client: Client) -> list[Fault]:
    """The applicant is the client's own enterprise; so is the exporter, or the client has leave to declare for it.

    Judged before anything is looked up: the answer tells nothing about another enterprise's certificates and numbers.
    """
    found = []
    if reading.fields["applicant_code"] != client.enterprise:
        found.append(door_faults.foreign(*reading.locate(("applicant_code",))))
    exporter = reading.fields["exporter_code"]
    if exporter == client.enterprise or exporter in client.exporters:
        return found
    place = reading.locate(("exporter_code",))
    if exporter in client.proposed:
        found.append(door_faults.leave_proposed(*place))
    else:
        found.append(door_faults.no_leave(*place, client.id))
    return found
