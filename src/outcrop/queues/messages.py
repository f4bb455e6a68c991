"""The messages of queues in their table: added, taken, deleted, made visible again, forgotten.

A message that was taken is invisible until ``visible_at_ms``; whoever took it last holds its
receipt. Of a FIFO queue nothing is taken from a group of which something is still held.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from outcrop.queues.contents import Attribute
from outcrop.queues.receipts import Receipt, new_turn
from outcrop.stores.tables import queue_messages

DEDUPLICATION_MS: Final = 5 * 60 * 1000

_FIRST_SEQUENCE: Final = 18_850_000_000_000_000_000
_WINDOW: Final = 100
"""How many of the oldest messages are looked at for a fair choice among their groups."""
_MOST_WINDOWS: Final = 10
"""Of dead letters, in one turn to write: more of them wait for the next receiver."""

_table: Final = queue_messages
_column: Final = queue_messages.c


class Seal(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a body is encrypted: with the deployment's key, or under a KMS data key made for the
    queue ``queue``."""

    queue: str = ""
    key_arn: str = ""
    data_key: bytes = b""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a message besides its body."""

    sender: str
    body_md5: str
    attributes: dict[str, Attribute] = {}
    system: dict[str, Attribute] = {}
    seal: Seal | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    message_id: str
    body: bytes
    envelope: Envelope
    delay_s: int = 0
    group: str = ""
    deduplication_id: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """``source`` is the queue whose dead letter it is. ``receives`` counts this time too."""

    receipt: Receipt
    message_id: str
    body: bytes
    envelope: Envelope
    sent_at_ms: int
    first_received_ms: int
    receives: int
    group: str
    deduplication_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Sent:
    seq: int
    message_id: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Taking:
    """What a ReceiveMessage asks of a queue. ``dead_letters`` is the queue that messages go to
    after ``max_receives``. ``since_ms``: what was sent earlier is past its retention."""

    queue: str
    most: int
    now_ms: int
    visibility_ms: int
    since_ms: int
    is_fifo: bool = False
    dead_letters: str | None = None
    max_receives: int = 0


class MessageGone(Exception):
    """There is no such message, or somebody else received it since."""


class NotInFlight(Exception):
    """Nobody holds the message."""


async def add(connection: AsyncConnection, queue: str, message: Outgoing, now_ms: int) -> int:
    """The message's number."""
    added = await connection.execute(
        sa.insert(_table)
        .values(
            queue=queue,
            message_id=message.message_id,
            body=message.body,
            attributes=msgspec.json.encode(message.envelope),
            sent_at_ms=now_ms,
            visible_at_ms=now_ms + message.delay_s * 1000,
            receives=0,
            receipt="",
            message_group=message.group,
            deduplication_id=message.deduplication_id,
            source="",
            is_deleted=False,
        )
        .returning(_column.seq)
    )
    return int(added.scalar_one())


async def find_sent(
    connection: AsyncConnection, queue: str, deduplication_id: str, group: str | None, now_ms: int
) -> Sent | None:
    """What was sent with the same deduplication ID in the last five minutes, in the group or, with
    None, in the queue."""
    query = (
        sa.select(_column.seq, _column.message_id, _column.attributes)
        .where(_column.queue == queue, _column.deduplication_id == deduplication_id)
        .where(_column.sent_at_ms > now_ms - DEDUPLICATION_MS)
        .order_by(_column.seq.desc())
        .limit(1)
    )
    if group is not None:
        query = query.where(_column.message_group == group)
    row = (await connection.execute(query)).first()
    return Sent(row.seq, row.message_id, _envelope(row.attributes)) if row else None


async def has_visible(connection: AsyncConnection, taking: Taking) -> bool:
    return (await connection.execute(_visible(taking).limit(1))).first() is not None


async def take(connection: AsyncConnection, taking: Taking) -> tuple[list[Received], bool]:
    """The messages, and whether any went to the dead letters instead."""
    received: list[Received] = []
    has_moved = False
    for _ in range(_MOST_WINDOWS):
        rows = list(await connection.execute(_visible(taking).limit(_WINDOW)))
        dead = [row for row in rows if _is_dead(row, taking)]
        if dead:
            await _move(connection, [row.seq for row in dead], taking)
            has_moved = True
        alive = [row for row in rows if not _is_dead(row, taking)]
        for row in await _choose(connection, taking, alive, taking.most - len(received)):
            received.append(await _hand_out(connection, row, taking))
        if not dead or len(received) == taking.most:
            break
    return received, has_moved


async def give_back(
    connection: AsyncConnection, queue: str, received: Iterable[Received], now_ms: int
) -> None:
    """As if nobody had taken them: whoever took them could not read them."""
    for one in received:
        mine = sa.and_(_column.queue == queue, _column.receipt == one.receipt.turn)
        await connection.execute(
            sa.update(_table)
            .where(_column.seq == one.receipt.seq, mine)
            .values(visible_at_ms=now_ms, receives=one.receives - 1, receipt="")
        )


async def find_next_visible_ms(connection: AsyncConnection, queue: str, now_ms: int) -> int | None:
    """When a message that is delayed or held becomes visible."""
    return await connection.scalar(
        sa.select(sa.func.min(_column.visible_at_ms)).where(
            _column.queue == queue, _column.visible_at_ms > now_ms, ~_column.is_deleted
        )
    )


async def delete(
    connection: AsyncConnection, queue: str, receipt: Receipt, now_ms: int, *, is_fifo: bool
) -> None:
    """What is gone stays gone. A receipt that somebody received the message after deletes nothing,
    and of a FIFO queue none that is past its time: ``NotInFlight``."""
    held = sa.and_(_column.queue == queue, _column.seq == receipt.seq, ~_column.is_deleted)
    row = (
        await connection.execute(sa.select(_column.receipt, _column.visible_at_ms).where(held))
    ).first()
    if row is None:
        return
    if not is_fifo:
        mine = sa.and_(held, _column.receipt == receipt.turn)
        await connection.execute(sa.delete(_table).where(mine))
        return
    if row.receipt != receipt.turn or row.visible_at_ms <= now_ms:
        raise NotInFlight
    await connection.execute(sa.update(_table).where(held).values(is_deleted=True, body=b""))


async def change_visibility(
    connection: AsyncConnection, queue: str, receipt: Receipt, now_ms: int, timeout_s: int
) -> None:
    held = sa.and_(
        _column.queue == queue,
        _column.seq == receipt.seq,
        _column.receipt == receipt.turn,
        ~_column.is_deleted,
    )
    row = (await connection.execute(sa.select(_column.visible_at_ms).where(held))).first()
    if row is None:
        raise MessageGone
    if row.visible_at_ms <= now_ms:
        raise NotInFlight
    until = now_ms + timeout_s * 1000
    await connection.execute(sa.update(_table).where(held).values(visible_at_ms=until))


async def count(
    connection: AsyncConnection, queue: str, now_ms: int, since_ms: int
) -> tuple[int, int, int]:
    """Visible, held, delayed."""
    is_visible = _column.visible_at_ms <= now_ms
    is_held = sa.and_(~is_visible, _column.receives > 0)
    row = (
        await connection.execute(
            sa.select(
                sa.func.count(sa.case((is_visible, 1))),
                sa.func.count(sa.case((is_held, 1))),
                sa.func.count(),
            ).where(_column.queue == queue, ~_column.is_deleted, _column.sent_at_ms > since_ms)
        )
    ).one()
    return int(row[0]), int(row[1]), int(row[2]) - int(row[0]) - int(row[1])


async def forget(connection: AsyncConnection, queue: str) -> None:
    await connection.execute(sa.delete(_table).where(_column.queue == queue))


async def prune(connection: AsyncConnection, retention_ms: Mapping[str, int], now_ms: int) -> None:
    """Removes what is past its queue's retention, and deleted messages nobody asks for any more."""
    for queue, kept_ms in retention_ms.items():
        is_old = _column.sent_at_ms <= now_ms - kept_ms
        await connection.execute(sa.delete(_table).where(_column.queue == queue, is_old))
    is_remembered = _column.sent_at_ms > now_ms - DEDUPLICATION_MS
    await connection.execute(sa.delete(_table).where(_column.is_deleted, ~is_remembered))


def sequence_number(seq: int) -> str:
    """Twenty digits, larger with each message that is sent."""
    return f"{seq + _FIRST_SEQUENCE:020d}"


def _visible(taking: Taking) -> sa.Select[Any, Any, Any]:
    # Without bodies, which may be of a megabyte each.
    query = sa.select(_column.seq, _column.receives, _column.message_group).where(
        _column.queue == taking.queue,
        _column.visible_at_ms <= taking.now_ms,
        _column.sent_at_ms > taking.since_ms,
        ~_column.is_deleted,
    )
    if not taking.is_fifo:
        return query.order_by(_column.visible_at_ms, _column.seq)
    held = (
        sa.select(_column.message_group)
        .where(_column.queue == taking.queue, _column.visible_at_ms > taking.now_ms)
        .where(_column.receives > 0, ~_column.is_deleted)
    )
    return query.where(_column.message_group.not_in(held)).order_by(_column.seq)


async def _choose(
    connection: AsyncConnection, taking: Taking, rows: list[Any], most: int
) -> list[Any]:
    groups = {row.message_group for row in rows if row.message_group}
    if taking.is_fifo or len(groups) == 0:
        return rows[:most]
    held = await _count_held(connection, taking, groups)
    # A group that many messages are being worked on of lets the others go first.
    return sorted(rows, key=lambda row: held.get(row.message_group, 0))[:most]


async def _count_held(
    connection: AsyncConnection, taking: Taking, groups: Iterable[str]
) -> dict[str, int]:
    counted = await connection.execute(
        sa.select(_column.message_group, sa.func.count())
        .where(_column.queue == taking.queue, _column.visible_at_ms > taking.now_ms)
        .where(_column.receives > 0, _column.message_group.in_(sorted(groups)))
        .group_by(_column.message_group)
    )
    return {row[0]: int(row[1]) for row in counted}


def _is_dead(row: Any, taking: Taking) -> bool:
    return taking.dead_letters is not None and row.receives >= taking.max_receives


async def _move(connection: AsyncConnection, seqs: list[int], taking: Taking) -> None:
    await connection.execute(
        sa.update(_table)
        .where(_column.seq.in_(seqs))
        .values(
            queue=taking.dead_letters,
            visible_at_ms=taking.now_ms,
            receipt="",
            receives=0,
            source=taking.queue,
        )
    )


async def _hand_out(connection: AsyncConnection, row: Any, taking: Taking) -> Received:
    receipt = Receipt(row.seq, new_turn())
    taken = await connection.execute(
        sa.update(_table)
        .where(_column.seq == row.seq)
        .values(
            receipt=receipt.turn,
            receives=_column.receives + 1,
            first_received_ms=sa.func.coalesce(_column.first_received_ms, taking.now_ms),
            visible_at_ms=taking.now_ms + taking.visibility_ms,
        )
        .returning(_table)
    )
    row = taken.one()
    return Received(
        receipt=receipt,
        message_id=row.message_id,
        body=row.body,
        envelope=_envelope(row.attributes),
        sent_at_ms=row.sent_at_ms,
        first_received_ms=row.first_received_ms,
        receives=row.receives,
        group=row.message_group,
        deduplication_id=row.deduplication_id,
        source=row.source,
    )


def _envelope(raw: bytes) -> Envelope:
    return msgspec.json.decode(raw, type=Envelope)
