"""Records of sealed kinds: found by name and ARN as any other, and not to be read in the files."""

import logging
import sqlite3
import threading
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st
from opened_stores import SEALER, Opened, open_stores

from outcrop.security.masterkey import MasterKey
from outcrop.stores.customization_records import SEALED
from outcrop.stores.database import Database
from outcrop.stores.failures import DamagedRecord, NameTaken, NoSuchItem
from outcrop.stores.plain_rows import seal_plain_rows
from outcrop.stores.resources import Item, Place, Record, Resources
from outcrop.stores.rows import NoKey, Rows
from outcrop.stores.tables import now_ms, resources

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"


class Secretive(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "test:secretive"
    SEALED: ClassVar[bool] = True

    text: str


class Twin(Secretive, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "test:twin"


class Plain(Record, frozen=True, kw_only=True):
    """As the kind was before it was sealed."""

    KIND: ClassVar[str] = Secretive.KIND

    text: str


class Open(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "test:open"


def at(name: str, account: str = ACCOUNT) -> Place:
    return Place(account, REGION, name)


def subclasses(type: type[Record]) -> set[type[Record]]:
    return {type}.union(*map(subclasses, type.__subclasses__()))


def in_files(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]


async def stored(database: Database) -> list[Mapping[Any, Any]]:
    async with database.read() as connection:
        found = await connection.execute(sa.select(resources))
        return [dict(row) for row in found.mappings() if row["kind"].startswith("test:")]


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncGenerator[Opened]:
    (tmp_path / "data").mkdir()
    opened = await open_stores(tmp_path / "data" / "outcrop.db")
    yield opened
    await opened.database.close()


def test_every_sealed_kind_of_ours_is_sealed_at_the_start() -> None:
    kinds = {each for each in subclasses(Record) if each.__module__.startswith("outcrop.")}
    assert {each for each in kinds if each.SEALED} == set(SEALED)
    assert all(not each.SEALED for each in (Record, Plain))


async def test_neither_name_nor_arn_nor_anything_else_is_in_the_files(
    stores: Opened, tmp_path: Path
) -> None:
    words = ("hidden-name", "hidden-arn", "hidden-parent", "hidden-tag", "hidden-text")
    name, arn, parent, tag, text = words
    async with stores.resources.writing() as transaction:
        item = await transaction.add(
            Secretive(text=text), at(name), parent=parent, arn=arn, tags={tag: tag}
        )
    async with stores.resources.writing() as transaction:
        await transaction.put(replace(item, record=Secretive(text=f"{text}-2")))
        renamed = await transaction.rename(item, "hidden-name-2", arn=arn)
    async with stores.resources.reading() as view:
        assert await view.find(Secretive, renamed.place) is not None
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"outcrop.db", "outcrop.db-wal"}
    for word in ("hidden", *words):
        assert in_files(tmp_path / "data", word) == []
    assert in_files(tmp_path / "data", ACCOUNT) != []


async def test_it_is_found_by_name_arn_and_parent_and_changed_as_any_other(
    stores: Opened,
) -> None:
    async with stores.resources.writing() as transaction:
        for name in ("b", "a", "c"):
            await transaction.add(
                Secretive(text=name), at(name), parent="p" * (name < "c"), arn=f"arn:{name}"
            )
        await transaction.add(Secretive(text="other"), at("a", OTHER))
    async with stores.resources.reading() as view:
        found = await view.get(Secretive, at("a"))
        assert await view.find_arn(Secretive, "arn:a") == found
        assert await view.find_arn(Secretive, "arn:d") is None
        assert await view.find(Twin, at("a")) is None
        listed = await view.list(Secretive)
        assert [(item.place.account, item.name) for item in listed] == [
            *((ACCOUNT, name) for name in "abc"),
            (OTHER, "a"),
        ]
        children = await view.list(Secretive, account=ACCOUNT, parent="p")
        assert [item.name for item in children] == ["a", "b"]
        orphans = await view.list(Secretive, account=ACCOUNT, region=REGION, parent="")
        assert [item.name for item in orphans] == ["c"]
    async with stores.resources.writing() as transaction:
        renamed = await transaction.rename(found, "z", arn="arn:z")
        await transaction.put(replace(renamed, tags={"k": "v"}))
    async with stores.resources.reading() as view:
        assert await view.find(Secretive, at("a")) is None
        moved = await view.get(Secretive, at("z"))
        assert (moved.arn, moved.tags, moved.parent) == ("arn:z", {"k": "v"}, "p")
        assert moved.created_at == found.created_at
    async with stores.resources.writing() as transaction:
        await transaction.remove(Secretive, at("z"))
        with pytest.raises(NoSuchItem):
            await transaction.remove(Secretive, at("z"))


async def test_names_and_arns_stay_unique(stores: Opened) -> None:
    async with stores.resources.writing() as transaction:
        first = await transaction.add(Secretive(text=""), at("a"), arn="arn:a")
        await transaction.add(Secretive(text=""), at("b"), arn="arn:b")
    for place, arn in ((at("a"), "arn:new"), (at("new"), "arn:a")):
        with pytest.raises(NameTaken):
            async with stores.resources.writing() as transaction:
                await transaction.add(Secretive(text=""), place, arn=arn)
    with pytest.raises(NameTaken):
        async with stores.resources.writing() as transaction:
            await transaction.rename(first, "b", arn="arn:a")


async def test_what_stands_for_a_name_differs_by_kind_account_and_deployment() -> None:
    def names(seed: int) -> list[str]:
        rows = Rows(MasterKey(bytes([seed]) * 32))
        items = [
            Item(Secretive(text=""), at("a")),
            Item(Secretive(text=""), at("a", OTHER)),
            Item(Secretive(text=""), Place(ACCOUNT, f"{REGION}a", "")),
            Item(Twin(text=""), at("a")),
        ]
        return [str(rows.row(item, 0)["name"]) for item in items]

    assert names(1) == names(1)
    assert len({*names(1), *names(2)}) == 8


async def test_a_row_that_takes_another_s_body_is_not_believed(stores: Opened) -> None:
    async with stores.resources.writing() as transaction:
        for name in "ab":
            await transaction.add(Secretive(text=name), at(name))
    rows = await stored(stores.database)
    async with stores.database.write() as connection:
        await connection.execute(
            sa.update(resources)
            .where(resources.c.name == rows[0]["name"])
            .values(body=rows[1]["body"])
        )
    async with stores.resources.reading() as view:
        with pytest.raises(DamagedRecord):
            await view.list(Secretive)


@pytest.mark.parametrize(
    "damage",
    [
        {"body": b""},
        {"body": b"\x01" + bytes(200)},
        {"body": b'{"text":"forged"}'},
        {"body": b"{"},
        {"account": OTHER},
        {"region": "eu-west-1"},
    ],
)
async def test_a_row_that_somebody_changed_is_named_and_not_believed(
    stores: Opened, damage: dict[str, Any]
) -> None:
    async with stores.resources.writing() as transaction:
        await transaction.add(Secretive(text="true"), at("a"), arn="arn:a")
    (row,) = await stored(stores.database)
    async with stores.database.write() as connection:
        await connection.execute(
            sa.update(resources).where(resources.c.name == row["name"]).values(**damage)
        )
    await seal_plain_rows(stores.database, SEALER, [Secretive])
    async with stores.resources.reading() as view:
        for asked in (view.list(Secretive), view.find_arn(Secretive, "arn:a")):
            with pytest.raises(DamagedRecord) as caught:
                await asked
            told = str(caught.value)
            assert told.startswith(f"The test:secretive '{row['name']}' of account ")
            assert "forged" not in told


async def test_another_master_key_finds_nothing_and_none_at_all_does_not_ask(
    stores: Opened,
) -> None:
    async with stores.resources.writing() as transaction:
        await transaction.add(Secretive(text=""), at("a"))
    async with Resources(stores.database, MasterKey(bytes(32))).reading() as view:
        assert await view.find(Secretive, at("a")) is None
        with pytest.raises(DamagedRecord, match="The master key does not open"):
            await view.list(Secretive)
    async with Resources(stores.database).reading() as view:
        with pytest.raises(NoKey):
            await view.find(Secretive, at("a"))
        with pytest.raises(NoKey):
            await view.list(Secretive)


async def test_rows_from_before_are_sealed_and_leave_nothing_behind(
    stores: Opened, tmp_path: Path
) -> None:
    long = "plain-name " * 2000
    async with stores.resources.writing() as transaction:
        kept = await transaction.add(
            Plain(text=long), at("plain-name"), parent="plain-name", arn="arn:plain-name"
        )
        gone = await transaction.add(Plain(text=long), at("plain-name-2"), tags={"plain-name": ""})
        await transaction.remove(Plain, gone.place)
    assert in_files(tmp_path / "data", "plain-name") != []
    await seal_plain_rows(stores.database, SEALER, (Secretive,))
    assert in_files(tmp_path / "data", "plain-name") == []
    async with stores.resources.reading() as view:
        found = await view.get(Secretive, at("plain-name"))
        assert await view.list(Secretive) == [found]
        assert await view.find_arn(Secretive, "arn:plain-name") == found
    assert found == replace(kept, record=Secretive(text=long))
    before = await stored(stores.database)
    await seal_plain_rows(stores.database, SEALER, (Secretive,))
    assert await stored(stores.database) == before


async def test_a_database_in_use_is_sealed_and_what_is_left_behind_is_told(
    stores: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stores.resources.writing() as transaction:
        await transaction.add(Plain(text=""), at("plain-name"))
    reader = sqlite3.connect(tmp_path / "data" / "outcrop.db", isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM resources").fetchone()
        with caplog.at_level(logging.WARNING):
            await seal_plain_rows(stores.database, SEALER, (Secretive,))
        assert "may still be in the database file" in caplog.text
    finally:
        reader.close()
    async with stores.resources.reading() as view:
        assert (await view.get(Secretive, at("plain-name"))).record == Secretive(text="")


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=200)
@given(
    names=st.lists(_TEXTS, min_size=1, max_size=5, unique=True),
    parent=_TEXTS,
    tags=st.dictionaries(_TEXTS, _TEXTS, max_size=3),
    text=_TEXTS,
)
def test_whatever_is_sealed_comes_back(
    names: list[str], parent: str, tags: dict[str, str], text: str
) -> None:
    rows = Rows(SEALER)
    digests: set[str] = set()
    for name in names:
        item = Item(Secretive(text=text), at(name), parent, f"arn:{name}", tags)
        row = rows.row(item, now_ms())
        read = rows.item(Secretive, row)
        assert replace(read, created_at=item.created_at, changed_at=item.changed_at) == item
        assert row["arn"] == rows.arn(Secretive, f"arn:{name}")
        assert row["parent"] == rows.parent(Secretive, parent)
        digests.add(row["name"])
    assert len(digests) == len(names)


async def test_a_list_is_in_the_order_of_plain_kinds(stores: Opened) -> None:
    names = ["b", "a", "B", "", "10", "9", "\u00e9", "\uffff", "\U00010000", "a b", "a-b"]
    async with stores.resources.writing() as transaction:
        for name in names:
            await transaction.add(Secretive(text=""), at(name))
            await transaction.add(Open(), at(name))
    async with stores.resources.reading() as view:
        sealed, plain = await view.list(Secretive), await view.list(Open)
    assert [item.name for item in sealed] == [item.name for item in plain] != names


async def test_many_are_opened_beside_the_event_loop_and_counted_unopened(
    stores: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening: set[int] = set()
    read = Rows.item

    def item(self: Rows, type: type[Any], row: Any) -> Item[Any]:
        opening.add(threading.get_ident())
        return read(self, type, row)

    monkeypatch.setattr(Rows, "item", item)
    names = [f"{number:03}" for number in range(150)]
    async with stores.resources.writing() as transaction:
        await transaction.add_all(Secretive(text=""), [at(name) for name in names])
        await transaction.add(Secretive(text=""), at("another", OTHER))
        assert await transaction.count(Secretive, account=ACCOUNT, region=REGION) == len(names)
        assert await transaction.count(Secretive, account=ACCOUNT, region="eu-west-1") == 0
    assert not opening
    async with stores.resources.reading() as view:
        found = await view.list(Secretive, account=ACCOUNT)
    assert [each.name for each in found] == names
    assert opening
    assert threading.get_ident() not in opening
