"""One batch at the door inside its transaction: what is on file, who is new, which numbers, what is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from gateway.core.admission import Clash, Correction, Known, New, Prior, Repeated, Replay, admit
from gateway.core.numbers import Series
from gateway.ports import Clock, Message, MessageCodec
from gateway.runtime import accepting, door_faults
from gateway.runtime.answers import Answer, clash_fault
from gateway.runtime.ids import new_id
from gateway.runtime.submission import Examined
from gateway.storage import Admitted, DoorTransaction, Repetition

PENDING = b""
"""The answer of an earlier member of the same batch: not written yet."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Answered:
    """A member that changes nothing: answered before, or in conflict."""

    item: Examined
    why: Replay | Clash


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to become of a member. `known` is the certificate it is about, as it will be."""

    item: Examined
    admission: Repeated | Correction | New
    known: Known
    remembered: bool
    """Its answer is to be kept under its key."""


class Judgement:
    """Members of the batch see each other's effects, in order; numbers are drawn last."""

    def __init__(self, codec: MessageCodec, clock: Clock, transaction: DoorTransaction) -> None:
        self._codec = codec
        self._now = clock.now()
        self._transaction = transaction
        self._priors: dict[Key, Prior] = {}
        self._known: dict[str, Known] = {}
        self._opened: dict[UUID, Known] = {}
        self._given: dict[Key, Answer] = {}
        self._full: dict[UUID, Answer] = {}
        self._admitted: list[Admitted] = []
        self._repeated: list[Repetition] = []
        self._log: list[Message] = []

    async def judge(self, batch: Sequence[Examined]) -> list[Answer]:
        """The answers, in order; everything they promise is written."""
        keys = {key: None for item in batch for key in ((item.key,) if item.number else (item.key, item.content_key))}
        numbers = {item.number: None for item in batch if item.number}
        priors, known = await self._transaction.known(list(keys), list(numbers))
        self._priors, self._known = dict(priors), dict(known)
        plans = [self._plan(item) for item in batch]
        serials = await self._draw(plans)
        answers = [self._settle(plan, serials) for plan in plans]
        if self._admitted or self._repeated:
            await self._transaction.write(self._admitted, self._repeated, self._log)
        return answers

    def _plan(self, item: Examined) -> _Plan | _Answered:
        prior = self._priors.get(item.key)
        known = self._known.get(item.number) if item.number else self._twin(item)
        if prior is not None and item.key == item.content_key and prior.raw_sha256 != item.raw_sha256:
            prior = None  # the same content in other bytes, e.g. JSON after XML: no conflict
        applicant = item.applicant
        admission = admit(item.raw_sha256, item.content_sha256, applicant, prior, known)
        match admission:
            case Replay() | Clash():
                return _Answered(item, admission)
            case New():
                known = Known(new_id(self._now), item.number or "", applicant, 1, "accepted", item.content_sha256)
            case Correction(old):
                known = old._replace(revision=old.revision + 1, status="accepted", content_sha256=item.content_sha256)
            case Repeated(same):
                fresh = item.key not in self._priors
                self._priors.setdefault(item.key, Prior(item.raw_sha256, same.certificate_id, PENDING))
                return _Plan(item, admission, same, fresh)
        self._opened[known.certificate_id] = known
        self._priors[item.key] = Prior(item.raw_sha256, known.certificate_id, PENDING)
        if item.number:
            self._known[item.number] = known
        else:
            self._priors[item.content_key] = self._priors[item.key]
        return _Plan(item, admission, known, remembered=True)

    def _twin(self, item: Examined) -> Known | None:
        """The certificate that the same content without a number was given before."""
        prior = self._priors.get(item.content_key)
        if prior is None:
            return None
        if prior.answer == PENDING:
            return self._opened[prior.certificate_id]
        answer = orjson.loads(prior.answer)
        applicant, status = item.applicant, answer["status"]
        revision: int = answer["revision"]
        return Known(prior.certificate_id, answer["number"], applicant, revision, status, item.content_sha256)

    async def _draw(self, plans: Sequence[_Plan | _Answered]) -> dict[Series, Iterator[int]]:
        """Serials for the new ones without a number; those of numbers that members bring along are stepped over."""
        new = [plan.item for plan in plans if isinstance(plan, _Plan) and isinstance(plan.admission, New)]
        brought = {item.number for item in new}
        missing: dict[Series, int] = {}
        for item in new:
            if item.number is None:
                wish = accepting.wish(item, self._now)
                missing[wish] = missing.get(wish, 0) + 1
        free: dict[Series, list[int]] = {wish: [] for wish in missing}
        while missing:
            drawn = await self._transaction.draw(missing)
            missing = {}
            for wish, serials in drawn.items():
                usable = [serial for serial in serials if wish.number(serial) not in brought]
                free[wish] += usable
                if stepped_over := len(serials) - len(usable):
                    missing[wish] = stepped_over
        return {wish: iter(serials) for wish, serials in free.items()}

    def _settle(self, plan: _Plan | _Answered, serials: dict[Series, Iterator[int]]) -> Answer:
        item = plan.item
        if isinstance(plan, _Answered):
            match plan.why:
                case Replay(prior):
                    return self._given[item.key] if prior.answer == PENDING else Answer.replay(prior.answer)
                case Clash(code, clashing):
                    identity = clashing.certificate_id if clashing else None
                    return Answer.conflict(clash_fault(code), identity, item.reference)
        match plan.admission:
            case Repeated():
                answer = self._repeat(plan, self._opened.get(plan.known.certificate_id, plan.known))
            case New():
                answer = self._open(item, plan.known, serials)
            case Correction():
                answer = self._accept(item, plan.known)
        self._given.setdefault(item.key, answer)
        self._given.setdefault(item.content_key, answer)
        return answer

    def _repeat(self, plan: _Plan, known: Known) -> Answer:
        """The same content again: the certificate it has."""
        if known.certificate_id in self._full:
            return self._full[known.certificate_id]
        item = plan.item
        answer = Answer.duplicate(known, item.certificate_type, item.reference, item.warnings)
        if plan.remembered:
            self._remember(item, item.key, known.certificate_id, answer)
        return answer

    def _open(self, item: Examined, known: Known, serials: dict[Series, Iterator[int]]) -> Answer:
        if not known.number:
            wish = accepting.wish(item, self._now)
            serial = next(serials[wish], None)
            if serial is None:
                full = Answer.refused([door_faults.range_full(wish)], item.reference)
                self._full[known.certificate_id] = full
                return full
            known = self._opened[known.certificate_id] = known._replace(number=wish.number(serial))
        answer = self._accept(item, known)
        if item.number is None and item.key != item.content_key:
            self._remember(item, item.content_key, known.certificate_id, answer)
        return answer

    def _accept(self, item: Examined, known: Known) -> Answer:
        answer = accepting.answer(item, known)
        self._admitted.append(accepting.row(item, known, answer, self._now))
        self._log.append(accepting.envelope(self._codec, item, known, new_id(self._now), self._now))
        return answer

    def _remember(self, item: Examined, key: Key, certificate_id: UUID, answer: Answer) -> None:
        client, name = key
        channel = item.submission.channel
        self._repeated.append(
            Repetition(client, name, channel, item.raw_sha256, certificate_id, answer.body, self._now)
        )
