"""Is it well? Short for probes (`troubles`), with remedies for people (`examine`)."""

import asyncio
import shutil
from collections.abc import Sequence

import asyncpg

from adapters.bus import kafka_topics
from adapters.inbound import customs_boxes
from adapters.postgres.errors import is_passing
from adapters.postgres.migrate import files
from adapters.store.clients import Clients
from adapters.store.leaves import Leaves
from adapters.store.vault import Vault
from gateway import broker
from gateway.number_pace import unusual
from gateway.operations import Finding
from gateway.ports import Unavailable
from gateway.settings import Settings

PATIENCE = 3.0
BROKER_PATIENCE = 10.0
MOST_TOPICS = 20
"""Topics that differ, of which each has a line."""
PROPOSALS = "origin client grants --proposed, then --accept-all or origin client grant NAME --exporter CODE --revoke"
STUCK = """
SELECT trouble, count(DISTINCT id) AS certificates, min(number) AS number
FROM (SELECT id, number, unnest(ARRAY[state #>> '{papers,original,trouble}', state #>> '{papers,copy,trouble}'])
      AS trouble FROM origin.certificate
      WHERE state #>> '{papers,original,trouble}' <> '' OR state #>> '{papers,copy,trouble}' <> '') AS stuck
WHERE trouble <> '' GROUP BY trouble ORDER BY trouble LIMIT 10
"""
LITTLE_ROOM = 1 << 30
"""Bytes free on the data directory's disk below which the doctor complains."""


async def troubles(pool: asyncpg.Pool) -> Sequence[str]:
    """What keeps this process from serving; empty: ready."""
    try:
        async with asyncio.timeout(PATIENCE):
            applied = await pool.fetchval("SELECT count(*) FROM origin.migration")
    except Exception as error:
        if not is_passing(error) and not isinstance(error, asyncpg.UndefinedTableError):
            raise
        return ["The database does not answer."]
    return [] if applied == len(files()) else ["The database has another schema version."]


async def examine(
    settings: Settings, pool: asyncpg.Pool, embedded: bool, vault: Vault, clients: Clients, leaves: Leaves
) -> Sequence[Finding]:
    """What is reachable, what is missing, what to do."""
    broken = await troubles(pool)
    kind = "embedded" if embedded else "external"
    if broken:
        remedy = "See the server's log in the data directory." if embedded else "Check ORIGIN_DATABASE_URL."
        return [Finding(about="database", ok=False, detail=broken[0], remedy=remedy)]
    version = await pool.fetchval("SHOW server_version")
    findings = [Finding(about="database", ok=True, detail=f"PostgreSQL {version}, {kind}.")]
    findings.append(_room(settings))
    findings += await _broker(settings, clients)
    findings += await _customs(settings)
    findings += await _enrolled(vault, clients)
    waiting = await leaves.proposed()
    remedy = f"They are accepted with a warning until you answer: {PROPOSALS}." if waiting else ""
    detail = f"{waiting} proposed exporter(s) of clients wait for your yes or no."
    findings.append(Finding(about="leave to declare", ok=not waiting, detail=detail, remedy=remedy))
    parked = await pool.fetchval("SELECT count(*) FROM origin.parked")
    remedy = "Look at them: origin parked list." if parked else ""
    findings.append(Finding(about="parked", ok=not parked, detail=f"{parked} messages wait.", remedy=remedy))
    findings.append(await _numbers(pool))
    dead = await pool.fetchval("SELECT count(*) FROM origin.dead_letter WHERE state = 'waiting'")
    remedy = "Look at them: origin dlt list." if dead else ""
    findings.append(Finding(about="dead letters", ok=not dead, detail=f"{dead} wait for a decision.", remedy=remedy))
    stuck = await pool.fetch(STUCK)
    told = ", ".join(f"{row['trouble']}: {row['certificates']} (e.g. {row['number']})" for row in stuck)
    remedy = "origin timeline NUMBER says why; mend it, then origin print NUMBER." if stuck else ""
    findings.append(Finding(about="papers", ok=not stuck, detail=told or "None stands still.", remedy=remedy))
    doubt = await pool.fetchval("SELECT count(*) FROM origin.certificate WHERE status = 'in_doubt'")
    remedy = "Look at the paper, then origin confirm ID yes|no." if doubt else ""
    findings.append(Finding(about="prints in doubt", ok=not doubt, detail=f"{doubt} prints.", remedy=remedy))
    late = await pool.fetchval("SELECT count(*) FROM origin.certificate WHERE overdue <> ''")
    remedy = "Ask customs or the print room; origin status ID says what is missing." if late else ""
    findings.append(Finding(about="overdue", ok=not late, detail=f"{late} certificates.", remedy=remedy))
    return findings


async def _broker(settings: Settings, clients: Clients) -> list[Finding]:
    """Does the Kafka cluster answer, and are its topics as declared? Nothing where there is none."""
    cluster = broker.cluster(settings)
    if cluster is None:
        return []
    try:
        wanted = kafka_topics.declared(await clients.on_bus())
        async with asyncio.timeout(BROKER_PATIENCE):
            found = await kafka_topics.differences(cluster, wanted, settings.kafka_replication_factor)
    except (Unavailable, TimeoutError) as trouble:
        why = str(trouble) or "no answer"
        detail = f"It does not answer, or refuses us ({why}); intake goes on, nothing else does."
        return [Finding(about="kafka", ok=False, detail=detail, remedy="Check ORIGIN_KAFKA_BOOTSTRAP and the brokers.")]
    findings = [Finding(about="kafka", ok=True, detail=f"{settings.kafka_bootstrap} answers.")]
    if not found:
        findings.append(Finding(about="topics", ok=True, detail=f"{len(wanted)} topics are as declared."))
    for one in found[:MOST_TOPICS]:
        there = f"{one.what}: declared {one.declared}{f', found {one.found}' if one.found else ''}."
        findings.append(Finding(about=f"topic {one.topic}", ok=False, detail=there, remedy=one.remedy))
    return findings


async def _customs(settings: Settings) -> list[Finding]:
    """The import client's folder, where one is set: it is there, and nothing lies aside."""
    if settings.customs_folder is None:
        return []
    try:
        async with asyncio.timeout(PATIENCE):
            waiting, aside = await asyncio.to_thread(customs_boxes.counts, settings.customs_folder)
    except (OSError, TimeoutError) as trouble:
        detail = str(getattr(trouble, "strerror", None) or trouble) or "It does not answer"
        remedy = "Mount the share, see ORIGIN_CUSTOMS_FOLDER; declarations wait meanwhile."
        return [Finding(about="customs folder", ok=False, detail=f"{detail}.", remedy=remedy)]
    detail = f"{waiting} files wait for the import client, {aside} could not be read."
    remedy = "See InAside: the reason lies beside each file; in InBox: what is no file. " if aside else ""
    remedy += "To try again, move it to InBox; to mend it, origin dlt list." if aside else ""
    return [Finding(about="customs folder", ok=not aside, detail=detail, remedy=remedy)]


def _room(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.data).free
    remedy = "" if free > LITTLE_ROOM else "Make room, or move the data directory (ORIGIN_DATA)."
    return Finding(about="disk", ok=free > LITTLE_ROOM, detail=f"{free >> 20} MiB free.", remedy=remedy)


async def _numbers(pool: asyncpg.Pool) -> Finding:
    """Does a series of certificate numbers empty faster than its owner ever drew from it?"""
    paces = await unusual(pool)
    if not paces:
        return Finding(about="number series", ok=True, detail="none empties unusually fast.")
    one = paces[0]
    name = f"{one.series.certificate_type}{one.series.year}{one.series.organisation}{one.series.prefix}"
    detail = f"{len(paces)} empty unusually fast, first {name}: {one.in_day} numbers today, {one.busiest_day} on the"
    remedy = "See who draws from it: ops/runbooks/number-series-unusual.md."
    return Finding(about="number series", ok=False, detail=f"{detail} busiest day before.", remedy=remedy)


async def _enrolled(vault: Vault, clients: Clients) -> list[Finding]:
    """Every enterprise with a client needs a seal, a handwriting and a key before its certificates can print."""
    active = {client.enterprise for client in await clients.list() if client.revoked_at is None}
    if not active:
        return [
            Finding(
                about="clients",
                ok=False,
                detail="Nobody may declare yet.",
                remedy="origin client add NAME --enterprise USCC",
            )
        ]
    marks = [mark for mark in await vault.list("seal", "signature", "key") if mark.stopped_at is None]
    findings = []
    for enterprise in sorted(active):
        there = {mark.kind for mark in marks if mark.enterprise == enterprise}
        missing = [kind for kind in ("seal", "signature", "key") if kind not in there]
        remedy = "origin seal add, origin key add" if missing else ""
        detail = f"missing: {', '.join(missing)}." if missing else "seal, handwriting and key are enrolled."
        findings.append(Finding(about=f"enterprise {enterprise}", ok=not missing, detail=detail, remedy=remedy))
    return findings
