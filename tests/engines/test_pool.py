import asyncio
import os
import struct
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from adapters_at_hand import Adapter, AdaptersAtHand, custom_arn

from outcrop.config import EngineConfig, Llama, Onnx, OpenAI, Scripted, Upstream
from outcrop.engines.adapters import AdapterFacts
from outcrop.engines.modelfiles import known_models
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import Engine, EngineBusy, EngineFailed, EngineNotReady
from outcrop.engines.scripted import ScriptedEngine
from outcrop.generation import Generation, Text, Turn

HI = Generation(turns=(Turn("user", (Text("Hi"),)),), max_tokens=1)


ONE, TWO = custom_arn("one"), custom_arn("two")
REMOTE = custom_arn("remote")


def pool_of(cache_dir: Path, memory_mib: int = 1024, **configs: EngineConfig) -> EnginePool:
    return EnginePool(configs, cache_dir=cache_dir, memory_mib=memory_mib)


async def test_an_engine_is_built_once(tmp_path: Path):
    pool = pool_of(tmp_path, script=Scripted())
    engine = await pool.get("script")
    assert isinstance(engine, ScriptedEngine)
    assert await pool.get("script") is engine
    await pool.close()


async def test_each_model_of_a_remote_server_is_an_engine_of_its_own(tmp_path: Path):
    pool = pool_of(tmp_path, remote=OpenAI(url="http://127.0.0.1:9/v1", model="one"))
    one, two = await pool.get("remote"), await pool.get("remote", "two")
    assert isinstance(two, OpenAIEngine)
    assert one is not two
    assert (one.served_by, two.served_by) == (
        "openai/one",
        "openai/two",
    )
    await pool.close()


async def test_aws_calls_a_model_by_its_own_id_where_no_other_name_is_given(tmp_path: Path):
    pool = pool_of(
        tmp_path,
        aws=Upstream(region="eu-west-1"),
        named=Upstream(region="eu-west-1", model="eu.one"),
        remote=OpenAI(url="http://127.0.0.1:9/v1", model="two"),
    )
    asked = "anthropic.claude-v2"
    served = {
        (await pool.get("aws", None, asked)).served_by: "its own ID",
        (await pool.get("aws", "eu.other", asked)).served_by: "the binding",
        (await pool.get("named", None, asked)).served_by: "the configuration",
        (await pool.get("remote", None, asked)).served_by: "another kind",
    }
    assert served == {
        f"bedrock/{asked}": "its own ID",
        "bedrock/eu.other": "the binding",
        "bedrock/eu.one": "the configuration",
        "openai/two": "another kind",
    }
    assert await pool.get("aws", None, asked) is await pool.get("aws", asked)
    with pytest.raises(EngineFailed, match=r"engines\.aws\.model"):
        await pool.get("aws")
    await pool.close()


async def test_an_embedded_engine_cannot_be_bound_to_another_model(tmp_path: Path):
    pool = pool_of(tmp_path, local=Llama(model="smollm2-135m-instruct"))
    with pytest.raises(EngineFailed, match="serves one model"):
        await pool.get("local", "other")


async def test_an_engine_nobody_configured_is_refused_by_name(tmp_path: Path):
    with pytest.raises(EngineFailed, match="'nobody'"):
        await pool_of(tmp_path).get("nobody")


@pytest.mark.parametrize(
    "config", [Llama(model="smollm2-135m-instruct"), Onnx(model="all-minilm-l6-v2")]
)
async def test_missing_files_say_which_command_fetches_them(tmp_path: Path, config: Llama | Onnx):
    pool = pool_of(tmp_path, local=config)
    with pytest.raises(EngineNotReady, match=f"outcrop models pull {config.model}"):
        await pool.get("local")
    (status,) = pool.status()
    assert not status.ready
    assert "outcrop models pull" in status.problem


async def test_a_missing_file_of_the_users_own_is_named(tmp_path: Path):
    missing = tmp_path / "mine.gguf"
    with pytest.raises(EngineNotReady, match=r"mine\.gguf"):
        await pool_of(tmp_path, mine=Llama(model=str(missing))).get("mine")


async def test_a_model_nobody_knows_is_refused_with_those_known(tmp_path: Path):
    with pytest.raises(EngineFailed, match="smollm2-135m-instruct"):
        await pool_of(tmp_path, local=Llama(model="no-such-model")).get("local")


async def test_a_model_of_another_kind_is_refused(tmp_path: Path):
    for file in known_models()["all-minilm-l6-v2"].files:
        path = tmp_path / "models" / "all-minilm-l6-v2" / file.name
        await asyncio.to_thread(_allocate, path, file.size_bytes)
    with pytest.raises(EngineFailed, match="kind 'onnx'"):
        await pool_of(tmp_path, local=Llama(model="all-minilm-l6-v2")).get("local")


def _allocate(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, size_bytes)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model", b"GGUF" + bytes(20)])
async def test_a_file_that_is_no_model_is_reported_when_it_is_asked(tmp_path: Path, content: bytes):
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    pool = pool_of(tmp_path, broken=Llama(model=str(file)))
    engine = await pool.get("broken")
    with pytest.raises(EngineFailed, match=r"broken\.gguf"):
        await engine.count_tokens(HI)
    await pool.close()


async def test_a_model_without_a_chat_template_is_reported(tmp_path: Path):
    file = tmp_path / "bare.gguf"
    key, value = b"general.architecture", b"llama"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
    pool = pool_of(tmp_path, bare=Llama(model=str(file)))
    engine = await pool.get("bare")
    with pytest.raises(EngineFailed, match="chat template"):
        await engine.count_tokens(HI)
    await pool.close()


async def test_a_closed_pool_gives_no_engine(tmp_path: Path):
    pool = pool_of(tmp_path, script=Scripted())
    await pool.close()
    with pytest.raises(EngineNotReady):
        await pool.get("script")


async def test_status_lists_every_engine_used_or_not(tmp_path: Path):
    pool = pool_of(tmp_path, script=Scripted(), remote=OpenAI(url="http://127.0.0.1:9/v1"))
    await pool.get("script")
    assert [(one.name, one.kind, one.ready, one.loaded) for one in pool.status()] == [
        ("script", "scripted", True, True),
        ("remote", "openai", True, False),
    ]
    await pool.close()


@pytest.fixture
async def fitted(tmp_path: Path) -> AsyncGenerator[EnginePool]:
    configs: dict[str, EngineConfig] = {
        "script": Scripted(),
        "aws": Upstream(region="eu-west-1", model="m"),
        "vectors": Onnx(model="all-minilm-l6-v2"),
        "remote": OpenAI(url="http://127.0.0.1:9/v1", model="m"),
        "unnamed": OpenAI(url="http://127.0.0.1:9/v1", lora_dir=str(tmp_path)),
    }
    known = {custom_arn(str(number)): Adapter("") for number in range(80)}
    adapters = AdaptersAtHand({ONE: Adapter(""), TWO: Adapter(""), REMOTE: Adapter("m"), **known})
    pool = EnginePool(configs, cache_dir=tmp_path, memory_mib=64, adapters=adapters)
    yield pool
    await pool.close()


async def test_each_custom_model_is_an_engine_of_its_own_that_says_so(fitted: EnginePool):
    base, one, two = [await fitted.get("script", None, None, arn) for arn in (None, ONE, TWO)]
    assert await fitted.get("script", None, None, ONE) is one
    assert [engine.served_by for engine in (base, one, two)] == [
        "scripted",
        "scripted+one",
        "scripted+two",
    ]
    assert len({engine.name for engine in (base, one, two)}) == 3


@pytest.mark.parametrize("name", ["aws", "vectors"])
async def test_engines_that_take_no_adapters_say_so(fitted: EnginePool, name: str):
    with pytest.raises(EngineFailed, match=f"'{name}' cannot take the adapters"):
        await fitted.get(name, None, None, ONE)


async def test_a_server_without_a_folder_for_adapters_names_the_setting(fitted: EnginePool):
    with pytest.raises(EngineFailed, match="lora_dir"):
        await fitted.get("remote", None, None, REMOTE)


async def test_a_server_whose_weights_have_no_name_takes_no_adapter(fitted: EnginePool):
    for arn in (ONE, REMOTE):
        with pytest.raises(EngineFailed, match=r"'unnamed' cannot serve custom models.* model of"):
            await fitted.get("unnamed", None, None, arn)
    # A binding may name them, too.
    engine = await fitted.get("unnamed", "m", None, REMOTE)
    assert engine.served_by == "openai/m+remote"


async def test_an_adapter_for_other_weights_at_a_server_is_refused(fitted: EnginePool):
    with pytest.raises(EngineFailed, match="on 'm', which 'other' is not"):
        await fitted.get("unnamed", "other", None, REMOTE)
    assert [fitted.fingerprint("unnamed", model) for model in (None, "m")] == ["", "m"]
    assert fitted.fingerprint("remote") == "m"


async def test_a_custom_model_that_is_gone_has_no_engine(fitted: EnginePool):
    with pytest.raises(EngineNotReady, match="There is no custom model"):
        await fitted.get("script", None, None, custom_arn("nobody"))
    with pytest.raises(EngineNotReady, match="There is no custom model"):
        await fitted.build_reserved("script", "one", (), None, custom_arn("nobody"))


async def test_a_pool_without_adapters_serves_no_custom_model(tmp_path: Path):
    with pytest.raises(EngineFailed, match="no adapters"):
        await pool_of(tmp_path, script=Scripted()).get("script", None, None, ONE)


async def test_an_engine_that_is_taken_is_not_built_for_who_has_waited_meanwhile(tmp_path: Path):
    class Slow(AdaptersAtHand):
        async def find(self, name: str) -> AdapterFacts:
            looking.set()
            await go_on.wait()
            return await super().find(name)

    looking, go_on = asyncio.Event(), asyncio.Event()
    configs: dict[str, EngineConfig] = {"one": Scripted(), "other": Scripted()}
    adapters = Slow({ONE: Adapter("")})
    pool = EnginePool(configs, cache_dir=tmp_path, memory_mib=64, adapters=adapters)
    building = asyncio.create_task(pool.get("other", None, None, ONE))
    await looking.wait()
    waiting = asyncio.create_task(pool.get("one"))
    await asyncio.sleep(0)
    taking = asyncio.create_task(pool.take("one"))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(EngineNotReady, match="taken whole"):
        await waiting
    await asyncio.gather(building, taking)
    await pool.close()


async def test_an_adapter_of_other_weights_is_refused_by_reserved_engines_too(tmp_path: Path):
    adapters = AdaptersAtHand({ONE: Adapter("of other weights")})
    configs: dict[str, EngineConfig] = {"script": Scripted()}
    pool = EnginePool(configs, cache_dir=tmp_path, memory_mib=64, adapters=adapters)
    with pytest.raises(EngineFailed, match="trained on other weights"):
        await pool.build_reserved("script", "one", (), None, ONE)
    with pytest.raises(EngineFailed, match="trained on other weights"):
        await pool.get("script", None, None, ONE)


async def test_a_dropped_adapter_leaves_the_others(fitted: EnginePool):
    base, one, two = [await fitted.get("script", None, None, arn) for arn in (None, ONE, TWO)]
    await fitted.drop_adapter(ONE)
    await fitted.drop_adapter(ONE)
    assert await fitted.get("script") is base
    assert await fitted.get("script", None, None, TWO) is two
    assert await fitted.get("script", None, None, ONE) is not one


async def test_a_dropped_adapter_answers_first_what_it_was_asked(tmp_path: Path):
    remote = OpenAI(url="http://127.0.0.1:9/v1", model="m", lora_dir=str(tmp_path))
    adapters = AdaptersAtHand({ONE: Adapter("m")})
    configs: dict[str, EngineConfig] = {"remote": remote}
    pool = EnginePool(configs, cache_dir=tmp_path, memory_mib=64, adapters=adapters)
    one = await pool.get("remote", None, None, ONE)
    assert isinstance(one, OpenAIEngine)
    async with one.gate.admit():
        dropping = asyncio.create_task(pool.drop_adapter(ONE))
        done, _ = await asyncio.wait([dropping], timeout=0.05)
        assert not done
        assert await pool.get("remote", None, None, ONE) is not one
        async with one.gate.admit():
            # Who had it in hand is still admitted.
            pass
    await dropping
    with pytest.raises(EngineNotReady):
        async with one.gate.admit():
            pass
    await pool.close()


async def test_the_engines_of_custom_models_asked_last_are_kept(
    fitted: EnginePool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("outcrop.engines.pool._MOST_FITTED", 3)

    async def engine(number: int) -> Engine:
        return await fitted.get("script", None, None, custom_arn(str(number)))

    base = await fitted.get("script")
    first, second, third = [await engine(number) for number in range(3)]
    assert await engine(0) is first
    await engine(3)
    assert await engine(0) is first
    assert await engine(2) is third
    assert await engine(1) is not second
    assert await fitted.get("script") is base


async def test_engines_of_custom_models_that_answer_are_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("outcrop.engines.pool._MOST_FITTED", 1)
    remote = OpenAI(url="http://127.0.0.1:9/v1", model="m", lora_dir=str(tmp_path))
    adapters = AdaptersAtHand({ONE: Adapter("m"), TWO: Adapter("m")})
    configs: dict[str, EngineConfig] = {"remote": remote}
    pool = EnginePool(configs, cache_dir=tmp_path, memory_mib=64, adapters=adapters)
    one = await pool.get("remote", None, None, ONE)
    assert isinstance(one, OpenAIEngine)
    async with one.gate.admit():
        with pytest.raises(EngineBusy, match="1 custom models"):
            await pool.get("remote", None, None, TWO)
    assert (await pool.get("remote", None, None, TWO)).served_by == "openai/m+two"
    await pool.close()
