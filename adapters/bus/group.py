"""How the members of a consumer group share partitions: SQL, and the sharing rule.

Every member computes the same shares from the same rows, under the group's lock. It gives back what is not its own
any more once everything handed out is acknowledged, and takes what is its own and free. A change of hands raises the
partition's epoch; positions move only under the epoch they were taken with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from adapters.bus.session import LOCK_CLASS
from adapters.postgres.pool import Connection

Place = tuple[str, int]


@dataclass(slots=True)
class Held:
    """A partition in our hands: acknowledged before `committed`, handed out before `next`."""

    epoch: int
    committed: int
    next: int
    leaving_since: float | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """What the database says of one partition."""

    position: int
    epoch: int
    owner: UUID | None


GROUP = 'INSERT INTO origin.consumer_group ("group") VALUES ($1) ON CONFLICT DO NOTHING'

SEATS = """
INSERT INTO origin.consumer_position ("group", topic, partition)
SELECT $1, topic, partition FROM origin.log_partition WHERE topic = ANY($2::text[]) ON CONFLICT DO NOTHING
"""

AGREE = 'SELECT 1 FROM origin.consumer_group WHERE "group" = $1 FOR NO KEY UPDATE'

RENEW = """
INSERT INTO origin.consumer_member ("group", member, topics, lock_key, lease_until)
VALUES ($1, $2, $3::text[], $4, clock_timestamp() + make_interval(secs => $5::float8))
ON CONFLICT ("group", member) DO UPDATE SET lock_key = excluded.lock_key, lease_until = excluded.lease_until
RETURNING (xmax = 0) AS fresh
"""

BURY = """
DELETE FROM origin.consumer_member m
WHERE m."group" = $1 AND m.member <> $2 AND (
    m.lease_until < clock_timestamp()
    OR NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.classid::bigint = $3 AND l.objid::bigint = m.lock_key
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())))
"""

MEMBERS = 'SELECT member, topics FROM origin.consumer_member WHERE "group" = $1 ORDER BY member'

POSITIONS = """
SELECT topic, partition, position, epoch, owner FROM origin.consumer_position
WHERE "group" = $1 AND topic = ANY($2::text[])
"""

# Rows in one order for everybody: a paused owner may be moving its positions at the same moment.
CHANGE_HANDS = """
WITH held AS (
    SELECT c.topic, c.partition FROM origin.consumer_position c
    JOIN unnest($2::text[], $3::int[]) w (topic, partition) USING (topic, partition)
    WHERE c."group" = $1 ORDER BY c.topic, c.partition FOR UPDATE OF c
)
UPDATE origin.consumer_position c SET owner = $4, epoch = c.epoch + 1 FROM held h
WHERE c."group" = $1 AND c.topic = h.topic AND c.partition = h.partition
RETURNING c.topic, c.partition, c.position, c.epoch
"""

COMMIT = """
WITH held AS (
    SELECT c.topic, c.partition, w.position FROM origin.consumer_position c
    JOIN unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) w (topic, partition, epoch, position)
        USING (topic, partition)
    WHERE c."group" = $1 AND c.owner = $2 AND c.epoch = w.epoch ORDER BY c.topic, c.partition FOR UPDATE OF c
)
UPDATE origin.consumer_position c SET position = greatest(c.position, h.position) FROM held h
WHERE c."group" = $1 AND c.topic = h.topic AND c.partition = h.partition
RETURNING c.topic, c.partition
"""

# First which records, fairly over the partitions and within a budget of bytes, then their bodies.
READ = """
WITH place AS (
    SELECT w.* FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[])
        WITH ORDINALITY w (topic, partition, epoch, next, turn)
    JOIN origin.consumer_position c
        ON c."group" = $1 AND c.topic = w.topic AND c.partition = w.partition
        AND c.owner = $2 AND c.epoch = w.epoch
), candidate AS (
    SELECT p.topic, p.partition, l."offset", l."offset" - p.next AS rank, p.turn, l.size
    FROM place p CROSS JOIN LATERAL (
        SELECT g."offset", octet_length(g.body) AS size FROM origin.log g
        WHERE g.topic = p.topic AND g.partition = p.partition AND g."offset" >= p.next
        ORDER BY g."offset" LIMIT $7
    ) l
    ORDER BY rank, turn LIMIT $7
), picked AS (
    SELECT topic, partition, "offset", sum(size) OVER w AS bytes, row_number() OVER w AS number
    FROM candidate WINDOW w AS (ORDER BY rank, turn)
)
SELECT l.topic, l.partition, l."offset", l.key, l.headers::text AS headers, l.body
FROM picked p JOIN origin.log l USING (topic, partition, "offset")
WHERE p.bytes <= $8 OR p.number = 1
ORDER BY l.topic, l.partition, l."offset"
"""

LEAVE = """
WITH gone AS (DELETE FROM origin.consumer_member WHERE "group" = $1 AND member = $2)
UPDATE origin.consumer_position SET owner = NULL WHERE "group" = $1 AND owner = $2
"""


def shares(members: Sequence[tuple[UUID, Sequence[str]]], places: Sequence[Place]) -> dict[Place, UUID]:
    """Who reads what: equal numbers of equal topics go to the same member, so one subject's topics meet in one turn.

    A member gets at most ceil(partitions / readers) of each topic.
    """
    readers: dict[str, list[UUID]] = {}
    for member, topics in sorted(members, key=lambda entry: entry[0]):
        for topic in topics:
            readers.setdefault(topic, []).append(member)
    return {
        (topic, number): readers[topic][number % len(readers[topic])] for topic, number in places if topic in readers
    }


async def look(
    connection: Connection, group: str, member: UUID, topics: Sequence[str], key: int, lease: float
) -> tuple[bool, dict[Place, UUID], dict[Place, Seat]]:
    """Locks the group, renews our lease, removes the dead. (are we new, who should read what, who reads what)."""
    await connection.execute(AGREE, group)
    fresh = await connection.fetchval(RENEW, group, member, topics, key, lease)
    await connection.execute(BURY, group, member, LOCK_CLASS)
    members = [(row["member"], row["topics"]) for row in await connection.fetch(MEMBERS, group)]
    rows = await connection.fetch(POSITIONS, group, topics)
    seats = {(row["topic"], row["partition"]): Seat(row["position"], row["epoch"], row["owner"]) for row in rows}
    living = {identity for identity, _ in members}
    for place, seat in seats.items():
        if seat.owner is not None and seat.owner not in living:
            seats[place] = Seat(seat.position, seat.epoch, None)
    return bool(fresh), shares(members, list(seats)), seats


async def change_hands(
    connection: Connection, group: str, places: Sequence[Place], owner: UUID | None
) -> dict[Place, Held]:
    """Gives `places` to `owner` under a new epoch."""
    if not places:
        return {}
    names, numbers = zip(*places, strict=True)
    rows = await connection.fetch(CHANGE_HANDS, group, names, numbers, owner)
    return {(row["topic"], row["partition"]): Held(row["epoch"], row["position"], row["position"]) for row in rows}
