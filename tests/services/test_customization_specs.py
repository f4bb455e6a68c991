"""What a training process is told of a job: limits by batch size, and the weights it is for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrop.catalog.load import load_models
from outcrop.config import Config, Llama, Training
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


def make(specs: Specs, batch_size: int = 1, model: str = EXPRESS, **fields: Any) -> TrainingSpec:
    return specs.make(job(batch_size, model, **fields), MODELS[model], KEY, 1)


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
    spec = make(specs, batch_size, model)
    limits = spec.limits
    assert {limits.input_tokens, limits.output_tokens, limits.total_tokens} == {tokens}
    assert limits.characters == 6 * tokens
    assert spec.context_tokens == tokens


async def test_data_files_have_the_quotas_of_their_kind_and_their_names_in_s3(
    specs: Specs,
) -> None:
    spec = make(specs)
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
        make(specs, base=BASE.replace(":4:", ":5:"))


async def test_weights_that_the_configuration_names_are_trained_instead(specs: Specs) -> None:
    assert make(specs).base.source.endswith("base.gguf")
    named = with_settings(specs, training=Training(bases={"base": "/weights"}))
    base = make(named).base
    assert (base.source, base.fingerprint) == ("/weights", BASE)


async def test_a_base_of_the_operator_s_own_catalog_is_known_to_the_training_process(
    specs: Specs,
) -> None:
    assert make(specs).catalog == ()
    own = with_settings(specs, catalog=(Path("/own/models.toml"),))
    assert make(own).catalog == ("/own/models.toml",)


def with_settings(specs: Specs, **settings: Any) -> Specs:
    config = msgspec.structs.replace(specs.config, **settings)
    return Specs(config, specs.engines, specs.book)
