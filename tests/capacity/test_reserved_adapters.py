"""Reserved throughput of custom models: exchanged without a lost call, restored by a restart."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
from adapters_at_hand import Adapter, AdaptersAtHand
from capacities import (
    ACCOUNT,
    REGION,
    SCRIPTED,
    UNIT,
    Opened,
    answered,
    arn,
    asking,
    model,
    open_capacity,
    served,
    until,
)

from outcrop.capacity.served_models import model_of_arn
from outcrop.catalog.catalog import Catalog
from outcrop.engines.protocol import EngineFailed, EngineNotReady
from outcrop.stores.model_records import CustomModel, DataKey, ProvisionedModel, TrainedAdapter
from outcrop.stores.resources import Place

_KEY = DataKey(kms_key="key", ciphertext=b"sealed", context="job", grant="grant")
_TRAINED = TrainedAdapter(folder="folder", base="", size_bytes=1, data_key=_KEY)


def custom(name: str) -> str:
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:custom-model/outcrop.test/{name}"


@pytest.fixture
def adapters() -> AdaptersAtHand:
    return AdaptersAtHand({custom("one"): Adapter(""), custom("two"): Adapter("")})


@pytest.fixture
async def opened(tmp_path: Path, adapters: AdaptersAtHand) -> AsyncGenerator[Opened]:
    async with _open(tmp_path, adapters) as opened:
        yield opened


def _open(folder: Path, adapters: AdaptersAtHand) -> AbstractAsyncContextManager[Opened]:
    return open_capacity(folder, dict(SCRIPTED), cpus=tuple(range(8)), adapters=adapters)


async def add_custom(opened: Opened, name: str, adapter: TrainedAdapter | None = _TRAINED) -> None:
    record = CustomModel(base_model="outcrop.test", engine="script", adapter=adapter)
    async with opened.resources.writing() as transaction:
        await transaction.add(record, Place(ACCOUNT, REGION, name), arn=custom(name))


def names(opened: Opened, throughputs: Iterable[str]) -> list[str]:
    return [opened.capacity.engine(arn(name)).served_by for name in throughputs]


async def test_a_custom_model_is_its_bases_facts_and_its_own_adapter(opened: Opened):
    await add_custom(opened, "one")
    await add_custom(opened, "imported", None)
    catalog = Catalog([model("other")], engines=SCRIPTED)
    await until_mirrored(opened, "imported")
    trained, imported = [
        model_of_arn(opened.models, catalog, custom(name), REGION) for name in ("one", "imported")
    ]
    assert (trained.id, trained.engine, trained.adapter) == (
        "outcrop.test",
        "script",
        custom("one"),
    )
    assert (imported.engine, imported.adapter) == ("script", None)


async def until_mirrored(opened: Opened, name: str) -> None:
    async def mirrored() -> bool:
        return opened.models.find_arn(custom(name)) is not None

    await until(mirrored)


async def test_throughputs_of_custom_models_answer_each_as_its_own(opened: Opened):
    for name, adapter in (("a", custom("one")), ("b", custom("two")), ("c", None)):
        await opened.capacity.reserve(arn(name), model("script", adapter=adapter), 1, UNIT)
    assert names(opened, "abc") == ["scripted+one", "scripted+two", "scripted"]


async def test_one_custom_model_takes_anothers_place_under_a_stream_of_calls(opened: Opened):
    await opened.capacity.reserve(arn("a"), model("script", adapter=custom("one")), 1, UNIT)
    stop = asyncio.Event()
    seen: list[str] = []

    async def call() -> None:
        while not stop.is_set():
            engine = opened.capacity.engine(arn("a"))
            assert await answered(engine, asking("Hi")) == 1
            seen.append(engine.served_by)
            await asyncio.sleep(0)

    callers = [asyncio.create_task(call()) for _ in range(8)]
    changes = [custom("two"), None, custom("one")]
    for adapter in changes:
        before = len(seen)
        await opened.capacity.swap(arn("a"), model("script", adapter=adapter))
        after = len(seen)

        async def asked_since(count: int = after) -> bool:
            return len(seen) > count + 16

        await until(asked_since)
        now = f"scripted+{adapter.rpartition('/')[2]}" if adapter else "scripted"
        # Calls that began before it end as they began; then all answers are the new one's.
        assert set(seen[after + 8 :]) == {now}
        assert now not in seen[max(0, before - 1) : before]
    stop.set()
    await asyncio.gather(*callers)


async def test_the_same_custom_model_again_changes_nothing(opened: Opened):
    one = model("script", adapter=custom("one"))
    await opened.capacity.reserve(arn("a"), one, 1, UNIT)
    name = opened.capacity.engine(arn("a")).name
    await opened.capacity.swap(arn("a"), one)
    assert opened.capacity.engine(arn("a")).name == name


async def test_a_custom_model_for_other_weights_leaves_what_there_was(
    opened: Opened, adapters: AdaptersAtHand
):
    await opened.capacity.reserve(arn("a"), model("script"), 1, UNIT)
    adapters.known[custom("one")] = Adapter("of other weights")
    with pytest.raises(EngineFailed, match="trained on other weights"):
        await opened.capacity.swap(arn("a"), model("script", adapter=custom("one")))
    assert names(opened, "a") == ["scripted"]


async def bought(opened: Opened, name: str, adapter: str) -> None:
    await opened.bought(name)
    await opened.change(name, model=custom(adapter), desired_model=custom(adapter))


async def test_a_restart_gives_custom_models_their_engines_again(opened: Opened):
    await add_custom(opened, "one")
    await bought(opened, "a", "one")
    await opened.reopen("other")
    await opened.capacity.restore()
    await until(lambda: served(opened.capacity, "a"))
    assert names(opened, "a") == ["scripted+one"]
    assert opened.capacity.problems() == []


async def test_an_adapter_that_is_not_to_be_had_is_a_problem_until_it_is(
    opened: Opened, adapters: AdaptersAtHand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("outcrop.capacity.reserved._RETRY_S", 0.01)
    await add_custom(opened, "one")
    await bought(opened, "a", "one")
    kept = adapters.known.pop(custom("one"))
    await opened.capacity.restore()

    async def told() -> bool:
        return "There is no custom model" in "".join(opened.capacity.problems())

    await until(told)
    with pytest.raises(EngineNotReady, match="There is no custom model"):
        opened.capacity.engine(arn("a"))
    adapters.known[custom("one")] = kept
    await until(lambda: served(opened.capacity, "a"))
    assert opened.capacity.problems() == []
    record = msgspec.structs.asdict(_record(opened, "a"))
    assert record["model"] == custom("one")


def _record(opened: Opened, name: str) -> ProvisionedModel:
    item = opened.models.find_arn(arn(name))
    assert item is not None
    assert isinstance(item.record, ProvisionedModel)
    return item.record
