"""Documents that broke the door, declared again by the operator: never over what was declared since."""

from adapters.inbound.bus_reading import Heads
from adapters.inbound.bus_reading import submission as of_the_bus
from adapters.store.clients import Clients
from adapters.store.dead_letters import PostgresDeadLetters
from gateway.core.faults import Refused
from gateway.operations import Refusal
from gateway.ports import Unavailable
from gateway.runtime import kept
from gateway.runtime.answers import ON_FILE
from gateway.runtime.door import Beside, Client, Door, Submission
from gateway.storage import DeadLetter


class KeptDocuments:
    """What `origin dlt replay` does with a client's document."""

    def __init__(self, door: Door, beside: Beside, clients: Clients, dead: PostgresDeadLetters) -> None:
        self._door = door
        self._beside = beside
        self._clients = clients
        self._dead = dead

    async def declare(self, letter: DeadLetter) -> bool:
        """Declare it, where it came by the door; False: it goes by its topic, nothing speaks against that. Raises
        Refusal when it was overtaken, or is not on file afterwards; Unavailable."""
        if not kept.is_submitted(letter):
            return False
        client = await self._clients.by_id(kept.client_of(letter.topic))
        if not kept.by_the_door(letter):
            await self._look_by_bus(letter, client)
            return False
        if client is None:
            raise Refusal("DLT-CLIENT", "Its client may not declare any more.", "Discard this.")
        sent = kept.submission(letter, client)
        await self._look(letter, sent)
        answer = await self._door.submit(sent)
        if answer.verdict not in ON_FILE:
            codes = ", ".join(sorted({fault["code"] for fault in answer.content["faults"]}))
            raise Refusal(
                "DLT-NOT-ACCEPTED",
                f"The door has an answer now, and it is {answer.verdict.value}: {codes}.",
                "Tell the client, and discard this; or mend our mistake where it broke again.",
            )
        return True

    async def _look_by_bus(self, letter: DeadLetter, client: Client | None) -> None:
        record = letter.record(letter.body)
        try:
            sent = of_the_bus(record, Heads(record), client)
        except Refused:
            return  # that is its answer
        await self._look(letter, sent)

    async def _look(self, letter: DeadLetter, sent: Submission) -> None:
        """Raises Refusal when the certificate that it would correct was declared anew after it was kept."""
        try:
            examined = await self._beside.examine(sent)
        except Unavailable:
            raise
        except Exception:
            return  # refused, or it breaks us again: the door says so
        if examined.number is not None and await self._dead.overtaken(letter, examined, examined.number):
            raise Refusal(
                "DLT-OVERTAKEN",
                "Its certificate was declared anew after this was kept: sent on, it would undo what is newer.",
                "Discard this; the client sends the document again if it is wanted after all.",
            )
