"""The door's common case: declarations nobody has seen before, which want a number. One step writes them all.

Whatever is special goes the careful way (`runtime.judgement`), and so does a batch that turns out not to be common.
"""

from collections import Counter
from collections.abc import Sequence

from gateway.core.admission import Known
from gateway.ports import Clock, MessageCodec
from gateway.runtime import accepting
from gateway.runtime.answers import Answer
from gateway.runtime.ids import new_ids
from gateway.runtime.submission import Examined
from gateway.storage import Fresh, Store


def common(batch: Sequence[Examined]) -> list[bool]:
    """Which of them bring no number of their own, share no key with another of the batch, and can't be given a number
    that another of the batch brings along."""
    keys = Counter(key for item in batch for key in {item.key, item.content_key})
    brought = {_organisation(item) for item in batch if item.number}
    return [
        item.number is None
        and keys[item.key] == 1
        and keys[item.content_key] == 1
        and (not brought or _organisation(item) not in brought)
        for item in batch
    ]


def _organisation(item: Examined) -> tuple[str, str]:
    """Whose numbers, and of which type."""
    return item.exporter, item.certificate_type


async def opened(store: Store, codec: MessageCodec, clock: Clock, items: Sequence[Examined]) -> list[Answer] | None:
    """The answers, in order, everything they promise being written; None: they have to go the careful way.

    Raises Collision and Unavailable.
    """
    now = clock.now()
    answers: list[Answer] = []
    fresh: list[Fresh] = []
    ids = new_ids(now, 2 * len(items))
    for item, certificate_id, message_id in zip(items, ids[::2], ids[1::2], strict=True):
        wish = accepting.wish(item, now)
        known = Known(certificate_id, wish.blank, item.applicant, 1, "accepted", item.content_sha256)
        given = accepting.answer(item, known)
        answers.append(given)
        row = accepting.row(item, known, given, now)
        message = accepting.envelope(codec, item, known, message_id, now)
        keys = (item.key[1],) if item.key == item.content_key else (item.key[1], item.content_key[1])
        fresh.append(Fresh(row, keys, wish, message))
    numbers = await store.open(fresh)
    if numbers is None:
        return None
    return [given.numbered(one.row.number, number) for given, one, number in zip(answers, fresh, numbers, strict=True)]
