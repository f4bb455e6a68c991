"""What a training process is told of a job: limits by batch size, and the weights it is for."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrop.catalog.load import load_models
from outcrop.config import Config, Llama, OpenAI, Training
from outcrop.engines.modelfiles import known_models
from outcrop.engines.pool import EnginePool
from outcrop.quotas.book import QuotaBook
from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.services.bedrock.customization.specs import Specs, sources_of
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.database import Database
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Item, Place, Resources
from outcrop.training.spec import TrainingSpec

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/base/0123456789ab"
MODELS = load_models().by_id
EXPRESS, LITE = "amazon.titan-text-express-v1:0:8k", "amazon.titan-text-lite-v1:0:4k"
KEY = bytes(32)
CHATML_MODEL = "smollm2-135m-instruct"
"""Known, and asked in a chat format of ours."""
BASE = "base.gguf:4:c217f3168397e6abf99e745082cd6606"
"""The fingerprint of the file below."""


@pytest.fixture
async def specs(tmp_path: Path) -> AsyncIterator[Specs]:
    weights = tmp_path / "base.gguf"
    weights.write_bytes(b"GGUF")
    config = Config(
        data_dir=tmp_path / "data",
        cache_dir=tmp_path / "cache",
        engines={"base": Llama(model=str(weights))},
    )
    database = await Database.open(tmp_path / "outcrop.db")
    engines = EnginePool(config.engine_configs(), cache_dir=config.cache_dir, memory_mib=64)
    yield Specs(config, engines, QuotaBook(Resources(database), list(MODELS.values())))
    await engines.close()
    await database.close()


def job(batch_size: int, model: str, **fields: Any) -> Item[CustomizationJob]:
    record = CustomizationJob(
        base_model=model,
        type="FINE_TUNING",
        role_arn="r",
        model_name="m",
        model_arn="a",
        training_uri="s3://bucket/path/train.jsonl",
        validation_uris=("s3://bucket/one.jsonl", "s3://bucket/two.jsonl"),
        output_uri="s3://bucket/o",
        hyperparameters={"epochCount": "2", "batchSize": str(batch_size), "learningRate": "0.5"},
        engine="base",
        base=BASE,
        data_key=DataKey(kms_key="k", ciphertext=b"c", context=ARN, grant="g"),
        by="me",
    )
    changed = msgspec.structs.replace(record, **fields)
    return Item(changed, Place("123456789012", "us-east-1", "job"), arn=ARN)


async def make(
    specs: Specs, batch_size: int = 1, model: str = EXPRESS, **fields: Any
) -> TrainingSpec:
    return await specs.make(job(batch_size, model, **fields), MODELS[model], KEY, 1)


@pytest.mark.parametrize(
    ("model", "batch_size", "tokens"),
    [
        (EXPRESS, 1, 4096),
        (EXPRESS, 2, 2048),
        (EXPRESS, 4, 2048),
        # The documents state no limit for these: what they state for others holds.
        (EXPRESS, 8, 2048),
        (LITE, 8, 4096),
    ],
)
async def test_records_are_limited_by_the_quotas_of_the_batch_size(
    specs: Specs, model: str, batch_size: int, tokens: int
) -> None:
    spec = await make(specs, batch_size, model)
    limits = spec.limits
    assert {limits.input_tokens, limits.output_tokens, limits.total_tokens} == {tokens}
    assert limits.characters == 6 * tokens
    assert spec.context_tokens == tokens


async def test_records_are_no_longer_than_what_the_engine_takes(
    specs: Specs, tmp_path: Path
) -> None:
    engines = {"base": Llama(model=str(tmp_path / "base.gguf"), context=1024)}
    pool = EnginePool(engines, cache_dir=tmp_path, memory_mib=64)
    spec = await make(Specs(specs.config, pool, specs.book))
    await pool.close()
    assert (spec.context_tokens, spec.limits.total_tokens) == (1024, 4096)


async def test_data_files_have_the_quotas_of_their_kind_and_their_names_in_s3(
    specs: Specs,
) -> None:
    spec = await make(specs)
    assert (spec.training.name, spec.training.most_records) == ("path/train.jsonl", 10_000)
    assert [(each.name, each.most_records) for each in spec.validation] == [
        *[("one.jsonl", 1000), ("two.jsonl", 1000)]
    ]
    assert spec.training.records_quota == ("(Model customization) Training records in a data set")
    assert len({spec.training.path, *(each.path for each in spec.validation)}) == 3
    item = job(1, EXPRESS)
    sizes = [specs.file_bytes(each, item.place) for each in sources_of(item.record, Path("f"))]
    assert sizes == [2**30, 100 * 2**20, 100 * 2**20]


async def test_weights_that_were_changed_since_are_not_trained(specs: Specs) -> None:
    with pytest.raises(JobRefused, match="weights behind the base model were changed"):
        await make(specs, base=BASE.replace(":4:", ":5:"))


async def test_weights_that_the_configuration_names_are_trained_instead(specs: Specs) -> None:
    assert (await make(specs)).base.source.endswith("base.gguf")
    named = with_settings(specs, training=Training(bases={"base": "/weights"}))
    base = (await make(named)).base
    assert (base.source, base.fingerprint) == ("/weights", f"{BASE}\n/weights")


@pytest.mark.parametrize("is_folder", [True, False])
async def test_copies_of_weights_that_the_configuration_names_are_told_apart(
    specs: Specs, tmp_path: Path, is_folder: bool
) -> None:
    named = tmp_path / "named"
    file = named / "model.safetensors" if is_folder else named
    file.parent.mkdir(exist_ok=True)
    there = with_settings(specs, training=Training(bases={"base": str(named)}))
    found = {(await make(specs)).base.fingerprint}
    for content in (b"one copy", b"one more", b"longer than others"):
        file.write_bytes(content)
        found.add((await make(there)).base.fingerprint)
    assert len(found) == 4
    assert (await make(there)).base.fingerprint in found


async def test_a_home_directory_is_found(
    specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    named = with_settings(specs, training=Training(bases={"base": "~/base.gguf"}))
    assert (await make(named)).base.source == str(tmp_path / "base.gguf")


async def test_named_weights_are_asked_in_the_format_of_their_engine(
    specs: Specs, tmp_path: Path
) -> None:
    own = msgspec.structs.replace(specs.config, engines={"base": Llama(model=CHATML_MODEL)})
    for file in known_models()[CHATML_MODEL].files:
        path = specs.config.cache_dir / "models" / CHATML_MODEL / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        # Of the right size, which is all that is looked at.
        os.truncate(path, file.size_bytes)
    engines = EnginePool(own.engine_configs(), cache_dir=own.cache_dir, memory_mib=64)
    bases: dict[str, str]
    for bases in ({}, {"base": "/weights"}):
        config = msgspec.structs.replace(own, training=Training(bases=bases))
        fingerprint = engines.fingerprint("base")
        spec = await make(Specs(config, engines, specs.book), base=fingerprint)
        assert spec.base.template == "chatml"
    await engines.close()


async def test_weights_at_a_server_are_those_of_the_name_that_the_model_is_bound_to(
    specs: Specs,
) -> None:
    config = msgspec.structs.replace(
        specs.config,
        engines={"base": OpenAI(url="http://127.0.0.1:9/v1", model="m")},
        training=Training(bases={"base": "/weights"}),
    )
    engines = EnginePool(config.engine_configs(), cache_dir=config.cache_dir, memory_mib=64)
    served = Specs(config, engines, specs.book)
    bound = replace(MODELS[EXPRESS], engine="base", engine_model="n")
    spec = await served.make(job(1, EXPRESS, base="n"), bound, KEY, 1)
    assert spec.base.fingerprint.startswith("n\n")
    with pytest.raises(JobRefused, match="weights behind the base model were changed"):
        await served.make(job(1, EXPRESS, base="m"), bound, KEY, 1)
    # Bound to another engine since: the job's own has the name that it is configured with.
    elsewhere = replace(bound, engine="other")
    assert await served.make(job(1, EXPRESS, base="m"), elsewhere, KEY, 1)
    await engines.close()


async def test_a_base_of_the_operator_s_own_catalog_is_known_to_the_training_process(
    specs: Specs,
) -> None:
    assert (await make(specs)).catalog == ()
    own = with_settings(specs, catalog=(Path("/own/models.toml"),))
    assert (await make(own)).catalog == ("/own/models.toml",)


def with_settings(specs: Specs, **settings: Any) -> Specs:
    config = msgspec.structs.replace(specs.config, **settings)
    return Specs(config, specs.engines, specs.book)
