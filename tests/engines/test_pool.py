import asyncio
import os
import struct
from pathlib import Path

import pytest

from outcrop.config import EngineConfig, Llama, Onnx, OpenAI, Scripted, Upstream
from outcrop.engines.modelfiles import known_models
from outcrop.engines.openai import OpenAIEngine
from outcrop.engines.pool import EnginePool
from outcrop.engines.protocol import EngineFailed, EngineNotReady
from outcrop.engines.scripted import ScriptedEngine
from outcrop.generation import Generation, Text, Turn

HI = Generation(turns=(Turn("user", (Text("Hi"),)),), max_tokens=1)


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
