"""Typed records: unique, durable, announced to those who listen, read as one consistent view."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from opened_stores import Opened, open_stores

from outcrop.stores.failures import NameTaken, NoSuchItem
from outcrop.stores.resources import Change, Item, Place, Record

WRITER = """
import asyncio, sys
from pathlib import Path
from opened_stores import open_stores
from test_resources import Note
from outcrop.stores.resources import Place

async def write():
    stores = await open_stores(Path(sys.argv[1]))
    index = 0
    while True:
        async with stores.resources.writing() as transaction:
            item = await transaction.add(Note(text=f"{index}"), Place("1", "", f"n{index}"))
        print(item.name, flush=True)
        index += 1

asyncio.run(write())
"""


class Note(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "test:note"
    text: str = ""


class Other(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "other:note"
    text: str = ""


def place(name: str, account: str = "111111111111", region: str = "us-east-1") -> Place:
    return Place(account, region, name)


async def add(stores: Opened, name: str, text: str = "", *, arn: str | None = None) -> Item[Note]:
    async with stores.resources.writing() as transaction:
        return await transaction.add(Note(text=text), place(name), arn=arn)


async def find(stores: Opened, name: str) -> Item[Note] | None:
    async with stores.resources.reading() as view:
        return await view.find(Note, place(name))


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "outcrop.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), stdout=PIPE, cwd=Path(__file__).parent
    )
    assert writer.stdout is not None
    lines = [await writer.stdout.readline() for _ in range(10)]
    writer.kill()
    lines += (await writer.stdout.read()).splitlines(keepends=True)
    assert await writer.wait() == -signal.SIGKILL
    acknowledged = [line.decode().strip() for line in lines if line.endswith(b"\n")]
    assert len(acknowledged) >= 10
    stores = await open_stores(file)
    async with stores.resources.reading() as view:
        kept = {item.name: item.record.text for item in await view.list(Note)}
    assert [kept[name] for name in acknowledged] == [str(n) for n in range(len(acknowledged))]
    await stores.database.close()


async def test_a_record_comes_back_as_it_was_put(stores: Opened) -> None:
    async with stores.resources.writing() as transaction:
        made = await transaction.add(
            Note(text="\u96ea"), place("a"), parent="p", arn="arn:a", tags={"k": "v"}
        )
    assert await find(stores, "a") == made
    assert (made.parent, made.arn, made.tags) == ("p", "arn:a", {"k": "v"})
    async with stores.resources.reading() as view:
        assert await view.find_arn(Note, "arn:a") == made
        assert await view.find_arn(Other, "arn:a") is None
        with pytest.raises(NoSuchItem, match="test:note 'b'"):
            await view.get(Note, place("b"))


async def test_a_place_is_taken_once_and_each_kind_account_and_region_has_its_own(
    stores: Opened,
) -> None:
    await add(stores, "a")
    with pytest.raises(NameTaken, match="test:note 'a' already"):
        await add(stores, "a")
    async with stores.resources.writing() as transaction:
        await transaction.add(Other(), place("a"))
        await transaction.add(Note(), place("a", account="222222222222"))
        await transaction.add(Note(), place("a", region="eu-west-1"))
    async with stores.resources.reading() as view:
        assert len(await view.list(Note)) == 3
        assert len(await view.list(Note, account="111111111111")) == 2
        assert len(await view.list(Note, account="111111111111", region="eu-west-1")) == 1


async def test_an_arn_is_taken_once(stores: Opened) -> None:
    await add(stores, "a", arn="arn:same")
    with pytest.raises(NameTaken):
        await add(stores, "b", arn="arn:same")
    assert await find(stores, "b") is None


async def test_of_fifty_who_add_one_name_one_wins(stores: Opened) -> None:
    adds = [add(stores, "same", str(index)) for index in range(50)]
    results = await asyncio.gather(*adds, return_exceptions=True)
    made = [result for result in results if isinstance(result, Item)]
    refused = [result for result in results if isinstance(result, NameTaken)]
    assert (len(made), len(refused)) == (1, 49)
    assert await find(stores, "same") == made[0]


async def test_two_processes_add_one_name_and_one_wins(stores: Opened) -> None:
    other = await open_stores(stores.file)
    adds = [add(each, f"n{n}") for n in range(10) for each in (stores, other)]
    results = await asyncio.gather(*adds, return_exceptions=True)
    await other.database.close()
    assert sum(isinstance(result, NameTaken) for result in results) == 10
    async with stores.resources.reading() as view:
        assert len(await view.list(Note)) == 10


async def test_a_put_replaces_record_and_tags_and_needs_something_to_replace(
    stores: Opened,
) -> None:
    made = await add(stores, "a", "old")
    changed = replace(made, record=Note(text="new"), tags={"k": "v"})
    async with stores.resources.writing() as transaction:
        put = await transaction.put(changed)
    found = await find(stores, "a")
    assert found is not None
    assert found == put
    assert (found.record.text, found.tags, found.created_at) == ("new", {"k": "v"}, made.created_at)
    with pytest.raises(NoSuchItem):
        async with stores.resources.writing() as transaction:
            await transaction.put(replace(changed, place=place("b")))


async def test_a_renamed_record_is_at_its_new_place_only(stores: Opened) -> None:
    made = await add(stores, "a", "kept", arn="arn:a")
    await add(stores, "taken")
    async with stores.resources.writing() as transaction:
        moved = await transaction.rename(made, "b", arn="arn:b")
    assert await find(stores, "a") is None
    found = await find(stores, "b")
    assert found is not None
    assert (found.record.text, found.arn) == ("kept", "arn:b")
    with pytest.raises(NameTaken):
        async with stores.resources.writing() as transaction:
            await transaction.rename(moved, "taken", arn="arn:c")
    assert await find(stores, "b") == found


async def test_a_removed_record_is_gone_and_cannot_be_removed_again(stores: Opened) -> None:
    made = await add(stores, "a")
    async with stores.resources.writing() as transaction:
        await transaction.remove(Note, made.place)
    assert await find(stores, "a") is None
    with pytest.raises(NoSuchItem):
        async with stores.resources.writing() as transaction:
            await transaction.remove(Note, made.place)


async def test_a_block_that_raises_leaves_nothing_and_tells_nobody(stores: Opened) -> None:
    told: list[Change] = []
    stores.resources.listen("test", told.extend, _nothing)

    async def fail() -> None:
        async with stores.resources.writing() as transaction:
            await transaction.add(Note(), place("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await find(stores, "a") is None
    assert told == []


async def test_listeners_are_told_of_their_topic_before_the_writer_goes_on(
    stores: Opened,
) -> None:
    told: list[tuple[str, bool]] = []

    def changed(changes: Sequence[Change]) -> None:
        told.extend((change.place.name, change.item is None) for change in changes)

    stores.resources.listen("test", changed, _nothing)
    made = await add(stores, "a")
    assert told == [("a", False)]
    async with stores.resources.writing() as transaction:
        await transaction.add(Other(), place("other"))
        await transaction.rename(made, "b", arn=None)
    assert told == [("a", False), ("a", True), ("b", False)]


async def test_a_snapshot_misses_no_write_that_ends_while_it_is_read(stores: Opened) -> None:
    """What the snapshot has and what listeners were told since are together everything."""
    seen: set[str] = set()

    def changed(changes: Sequence[Change]) -> None:
        seen.update(change.place.name for change in changes)

    stores.resources.listen("test", changed, _nothing)

    async def read() -> None:
        items = await stores.resources.snapshot(Note)
        assert {item.name for item in items} >= seen
        seen.clear()
        seen.update(item.name for item in items)

    writes = [add(stores, f"n{index}") for index in range(40)]
    await asyncio.gather(*writes, *(read() for _ in range(5)))
    assert seen == {f"n{index}" for index in range(40)}


async def test_fields_added_later_have_their_defaults(stores: Opened) -> None:
    class Newer(Record, frozen=True, kw_only=True):
        KIND: ClassVar[str] = Note.KIND
        text: str = ""
        added: tuple[str, ...] = ("default",)

    await add(stores, "a", "old")
    async with stores.resources.reading() as view:
        newer = await view.get(Newer, place("a"))
    assert msgspec.structs.asdict(newer.record) == {"text": "old", "added": ("default",)}


async def _nothing() -> None:
    pass
