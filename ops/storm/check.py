"""The invariants, over what was found outside the code under test. Pure: evidence in, sentences out.

Numbers as in the reliability notes: I1 nothing lost, I2 numbers, I6 receipts once, I8 status events, I10 papers,
I13 liveness, I14 audit. Two are about the attacker: I16 numbers move by their owner's hand, I17 attacks are refused.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ops.storm.attacks import RIGHT, Attack
from ops.storm.documents import DRAFT, Ending
from ops.storm.load import Answer

MOST = 20
"""Violations of one invariant that are told one by one."""
ACCEPTED = ("accepted", "duplicate")
CALM = 120.0
"""Seconds after the last fault, or the last answer, in which everything must have come to its end."""


class Certificate(NamedTuple):
    """A row of the table of certificates."""

    id: str
    number: str
    certificate_type: str
    exporter: str
    status: str
    sequence: int
    authorised: Mapping[str, str]
    """Part -> SHA-256 of the file that may be printed."""


class Event(NamedTuple):
    """A row of the table of events."""

    sequence: int
    id: str
    kind: str
    part: str
    message: str


class Told(NamedTuple):
    """A record of the status topic, in the order of its partition."""

    certificate: str
    sequence: int
    id: str
    """ce_id."""


class Claim(NamedTuple):
    """A row of the print claims."""

    job: str
    certificate: str
    part: str
    state: str


class File(NamedTuple):
    """A stored file of a certificate: its name (SHA-256) and what its bytes really hash to."""

    certificate: str
    part: str
    sha256: str
    content: str


class Taken(NamedTuple):
    """A row of the table of declarations that were taken in: by whose hand."""

    client: str
    key: str
    """Its idempotency key, or a hash where it brought none."""
    certificate: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the attacker's ledger: what it was told."""

    attack: str
    way: str
    http: int
    """0: it has no answer, though nothing of it was lost on its way."""
    codes: Sequence[str] = ()
    """Of the faults that refuse it."""
    number: str = ""
    """The certificate number it was given."""
    calm: bool = False
    """Nothing was down any more."""
    times: int = 1
    """How many answers; 0: it is what one of them told."""


class Series(NamedTuple):
    """A row of the number series."""

    organisation: str
    certificate_type: str
    year: str
    prefix: str
    last: int


@dataclass(slots=True)
class Evidence:
    """Everything that was found."""

    answers: Sequence[Answer] = ()
    """The load's own ledger."""
    sent: int = 0
    """Declarations that the load began to send, canaries left out."""
    clients: Mapping[str, str] = field(default_factory=dict)
    """Every client's name -> credit code of its enterprise. Nobody has leave to declare for another."""
    attackers: frozenset[str] = frozenset()
    """Enterprises that attack."""
    attacks: Sequence[Hit] = ()
    intake: Sequence[Taken] = ()
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    series: Sequence[Series] = ()
    questions: Sequence[tuple[str, str]] = ()
    """(message, number) of every question in the customs' ledger."""
    endings: Mapping[str, Ending] = field(default_factory=dict)
    receipts: Mapping[str, int] = field(default_factory=dict)
    """Certificate -> papers of customs that were taken in."""
    strays: int = 0
    """Papers of customs that found no certificate."""
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    told: Iterable[Told] = ()
    claims: Sequence[Claim] = ()
    files: Sequence[File] = ()
    printed: Sequence[tuple[str, str]] = ()
    """(job, SHA-256), the printer's own ledger."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """What is not handled: readers' lag, parked messages, dead letters."""
    troubles: Sequence[str] = ()
    """What broke the storm off."""
    calm: float = 0.0
    """Seconds from the last fault or answer until everything was at its end."""
    recoveries: Sequence[tuple[str, float]] = ()
    """(process, seconds until it was ready) of each kill -9."""
    ready: float = 5.0
    """Seconds that this may take."""
    audit: Mapping[str, object] = field(default_factory=dict)
    """The word of `origin audit verify --json`."""


@dataclass(slots=True)
class Verdict:
    """One invariant."""

    name: str
    about: str
    rows: int = 0
    violations: list[str] = field(default_factory=list)
    more: int = 0

    @property
    def holds(self) -> bool:
        """Nothing was found, and something was looked at."""
        return not self.violations and self.rows > 0


def check(evidence: Evidence) -> list[Verdict]:
    """All of them."""
    checks = (
        ("I1", "every acknowledged declaration is there once, at its end or with an owner", _accepted),
        ("I2", "one number each, unique, no gaps", _numbers),
        ("I6", "receipts took effect once: customs' last word is the end", _receipts),
        ("I8", "status events 1..n in order, the topic equal to the table", _events),
        ("I10", "printed = stored = authorised, each original once", _papers),
        ("I13", "no backlog, nobody waits, killed processes ready in time", _calm),
        ("I14", "the audit chain verifies", _audit),
        ("I16", "no enterprise's numbers move by another's hand", _hands),
        ("I17", "each attack is refused, and nothing of ours breaks", _attacks),
    )
    verdicts = []
    for name, about, look in checks:
        verdict = Verdict(name, about)
        for found in look(evidence, verdict):
            if len(verdict.violations) < MOST:
                verdict.violations.append(found)
            else:
                verdict.more += 1
        if not verdict.rows and not verdict.violations:
            verdict.violations.append("there was nothing to look at")
        verdicts.append(verdict)
    return verdicts


def _accepted(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    told: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    ends = {ending.status for ending in evidence.endings.values()}
    for answer in evidence.answers:
        verdict.rows += 1
        if answer.status not in ACCEPTED:
            yield f"{answer.key} was answered {answer.http} {answer.status}"
        told[answer.key].add((answer.id, answer.number, answer.sha256))
    intake = {
        row.key: row.certificate
        for row in evidence.intake
        if not row.key.startswith("content:") and evidence.clients.get(row.client) not in evidence.attackers
    }
    parcels = sum(1 for key in told if key.startswith("storm"))
    if parcels != evidence.sent:
        yield f"{evidence.sent} declarations were sent, {parcels} have an answer"
    for key, answers in told.items():
        if len(answers) > 1:
            yield f"{key} was answered differently: {sorted(answers)}"
        identity, number, _ = next(iter(answers))
        found = evidence.certificates.get(identity)
        if found is None or intake.get(key) != identity:
            yield f"{key}: certificate {identity} was promised and is not there"
        elif found.number != number:
            yield f"{key}: number {number} was promised, {identity} has {found.number}"
        elif found.status not in ends:
            yield f"{key}: {identity} stands at {found.status}, which nobody ends"
    for identity, times in Counter(next(iter(answers))[0] for answers in told.values()).items():
        if times > 1:
            yield f"{identity} is the answer to {times} declarations"
    for key, identity in intake.items():
        if key not in told:
            yield f"{key} ({identity}) is in the database, and nobody was told"
    for identity in evidence.certificates.keys() - {row.certificate for row in evidence.intake}:
        yield f"{identity} belongs to no declaration"


def _numbers(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    given: dict[tuple[str, str], list[int]] = defaultdict(list)
    counts = Counter(certificate.number for certificate in evidence.certificates.values())
    verdict.rows = sum(counts.values())
    yield from (f"number {number} stands {times} times" for number, times in counts.items() if times > 1)
    for number in counts:
        given[number[-13:-4], number[:-15]].append(int(number[-4:]))
    for series in evidence.series:
        serials = sorted(given.pop((series.organisation, series.certificate_type), []))
        if serials != list(range(1, series.last + 1)):
            missing = sorted(set(range(1, series.last + 1)) - set(serials))[:5]
            yield f"series {series[:4]}: the counter stands at {series.last}, {len(serials)} in use; missing {missing}"
    yield from (f"numbers of {head} come from no counter" for head in given)
    asked = Counter(number for _, number in evidence.questions)
    yield from (f"customs was asked {times} times about {number}" for number, times in asked.items() if times > 1)
    yield from (f"customs knows {number}, which nobody has" for number in asked.keys() - counts.keys())


def _receipts(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    lives = {answer.id: answer.life for answer in evidence.answers}
    asked = {number for _, number in evidence.questions}
    for identity, life in lives.items():
        found, ending = evidence.certificates.get(identity), evidence.endings[life]
        if found is None:
            continue  # I1 tells
        papers = evidence.receipts.get(identity, 0)
        verdict.rows += 1 + papers
        if (found.number in asked) != (life != DRAFT):
            yield f"{identity} ({life}): customs {'knows' if found.number in asked else 'does not know'} of it"
        if found.status != ending.status:
            yield f"{identity} ({life}) stands at {found.status}; by customs' last word it is {ending.status}"
        if papers != ending.papers:
            yield f"{identity} ({life}): {papers} papers of customs were taken in, it wrote {ending.papers}"
    for identity, events in evidence.events.items():
        effects = Counter((event.message, event.kind, event.part) for event in events)
        for (message, kind, part), times in effects.items():
            if times > 1:
                yield f"{identity}: message {message} had the effect {kind} {part} {times} times"
    if evidence.strays:
        yield f"{evidence.strays} papers of customs found no certificate"


def _events(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    told: dict[str, list[tuple[int, str]]] = defaultdict(list)
    seen: set[str] = set()
    for record in evidence.told:
        verdict.rows += 1
        if record.id not in seen:
            seen.add(record.id)
            told[record.certificate].append((record.sequence, record.id))
    for identity, certificate in evidence.certificates.items():
        rows = [(event.sequence, event.id) for event in evidence.events.get(identity, ())]
        verdict.rows += len(rows)
        if [number for number, _ in rows] != list(range(1, certificate.sequence + 1)):
            yield f"{identity}: events {[number for number, _ in rows]}, it knows of {certificate.sequence}"
        heard = told.pop(identity, [])
        if heard != rows:
            yield f"{identity}: the topic tells {[number for number, _ in heard]}, the table has {len(rows)} events"
    yield from (f"{identity}: the topic tells of a certificate that is not there" for identity in told)


def _papers(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    verdict.rows = len(evidence.printed)
    stored = {(file.certificate, file.part): file.sha256 for file in evidence.files}
    for file in evidence.files:
        verdict.rows += 1
        if file.content != file.sha256:
            yield f"{file.certificate} {file.part}: the stored bytes are not those of their name"
    claims = {claim.job: claim for claim in evidence.claims}
    papers: Counter[tuple[str, str]] = Counter()
    for job, times in Counter(job for job, _ in evidence.printed).items():
        if times > 1:
            yield f"job {job} came out {times} times"
    for job, sha256 in evidence.printed:
        claim = claims.get(job)
        if claim is None:
            yield f"job {job} came out, and nobody claimed it"
            continue
        place = (claim.certificate, claim.part)
        papers[place] += 1
        certificate = evidence.certificates.get(claim.certificate)
        authorised = certificate.authorised.get(claim.part) if certificate else None
        if not sha256 == stored.get(place) == authorised:
            yield f"job {job}: printed {sha256[:12]}, stored {stored.get(place)}, authorised {authorised}"
        if claim.state != "printed":
            yield f"job {job} came out, its claim says {claim.state}"
    out = {job for job, _ in evidence.printed}
    yield from (
        f"job {c.job} is said to be printed, and did not come out"
        for c in evidence.claims
        if c.state == "printed" and c.job not in out
    )
    yield from (f"{place} came out {times} times" for place, times in papers.items() if times > 1)
    for identity, certificate in evidence.certificates.items():
        if certificate.status == "confirmed":
            for part in ("original", "copy"):
                if papers[identity, part] != 1:
                    yield f"{identity} is confirmed, its {part} came out {papers[identity, part]} times"


def _calm(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    verdict.rows = len(evidence.waiting) + len(evidence.recoveries) + 1
    yield from evidence.troubles
    yield from (f"{what}: {left} left" for what, left in evidence.waiting.items() if left)
    if evidence.calm > CALM:
        yield f"everything was at its end after {evidence.calm:.0f} s, not {CALM:g}"
    for process, seconds in evidence.recoveries:
        if seconds > evidence.ready:
            yield f"{process} was ready {seconds:.1f} s after kill -9, not {evidence.ready:g}"


def _audit(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    events = evidence.audit.get("events")
    verdict.rows = events if isinstance(events, int) else 0
    if evidence.audit.get("holds") is not True:
        yield f"origin audit verify does not hold: {evidence.audit.get('flaws') or evidence.audit}"
    if verdict.rows != (there := sum(len(rows) for rows in evidence.events.values())):
        yield f"it looked at {verdict.rows} events, there are {there}"


def _hands(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    """Clients' own ledgers against the tables: who has a number of an honest enterprise was told it, as its own client.
    By I2 no counter stands beyond the numbers in use, so none moved but by these."""
    told: dict[str, set[str]] = defaultdict(set)
    for answer in evidence.answers:
        told[answer.enterprise[8:17]].add(answer.number)
    hands: dict[str, set[str]] = defaultdict(set)
    for row in evidence.intake:
        hands[row.certificate].add(evidence.clients.get(row.client, row.client))
    own = {enterprise[8:17] for enterprise in evidence.attackers}
    for identity, certificate in evidence.certificates.items():
        verdict.rows += 1
        owner, organisation = certificate.exporter, certificate.number[-13:-4]
        if organisation != owner[8:17]:
            yield f"{identity} of {owner} has the number {certificate.number} of another organisation"
        if strangers := hands[identity] - {owner}:
            yield f"{identity} of {owner} was moved by {', '.join(sorted(strangers))}"
        if organisation not in own and certificate.number not in told[organisation]:
            yield f"{certificate.number} was drawn, and {organisation} was not told"
    for hit in evidence.attacks:
        if hit.number and hit.number[-13:-4] not in own:
            yield f"{hit.attack} by {hit.way} was given the number {hit.number}"


def _attacks(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    seen: dict[str, set[int]] = defaultdict(set)
    wrong: Counter[str] = Counter()
    for hit in evidence.attacks:
        verdict.rows += hit.times
        right = RIGHT[Attack(hit.attack)]
        seen[hit.attack].add(hit.http)
        if hit.http == 503 and not hit.calm:
            continue
        if hit.http not in right.http:
            wrong[f"{hit.attack} by {hit.way} was answered {hit.http or 'never'}"] += hit.times
        elif hit.http == 422 and right.codes is not None and set(hit.codes) != right.codes:
            wrong[f"{hit.attack} by {hit.way} was refused for {', '.join(hit.codes)}"] += hit.times
    yield from (f"{what}, {times} times" for what, times in wrong.items())
    for attack, right in RIGHT.items():
        if right.must not in seen[attack]:
            yield f"{attack} was never answered {right.must}"
