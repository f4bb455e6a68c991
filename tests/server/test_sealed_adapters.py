"""What engines load of custom models: opened into memory, by the grant, or not at all."""

import io
import os
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from in_process import ADMIN, REGION, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.engines.adapters import AdapterFacts, NoAdapter
from outcrop.errors import ServiceError
from outcrop.security.sealed_files import seal_file
from outcrop.server.adapters import SealedAdapters, sweep_artifacts
from outcrop.services.bedrock.customization.keys import make_data_key, open_data_key
from outcrop.services.call import RawAnswer
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.customization_records import CustomizationJob, JobStatus
from outcrop.stores.model_records import CustomModel, DataKey, TrainedAdapter
from outcrop.stores.resources import Item, Place
from outcrop.training.spec import ADAPTER_GGUF, ADAPTER_PEFT

BASE = "amazon.titan-text-express-v1"
PREFIX = f"arn:aws:bedrock:{REGION}:{ACCOUNT}"
JOB = f"{PREFIX}:model-customization-job/{BASE}/aaaaaaaaaaaa"
MODEL = f"{PREFIX}:custom-model/{BASE}/bbbbbbbbbbbb"
FOLDER = "bbbbbbbbbbbb"
GGUF = b"GGUF" + b"plain weights of the adapter" * 100
PEFT = {"adapter_config.json": b'{"r": 16}', "adapter_model.safetensors": b"plain tensors" * 100}


def packed(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def directed(offset: int, value: bytes) -> bytes:
    """``PEFT``, and at ``offset`` in what its directory says of the first file is ``value``."""
    archive = bytearray(packed(PEFT))
    start = archive.index(b"PK\x01\x02") + offset
    archive[start : start + len(value)] = value
    return bytes(archive)


@dataclass
class World:
    """A custom model of an account, with its files."""

    inside: Inside
    folder: Path
    artifacts: Artifacts
    adapters: SealedAdapters
    model: Item[CustomModel]
    data_key: DataKey

    async def put(self, *, gguf: bytes = GGUF, peft: bytes | None = None, job: str = JOB) -> None:
        """Sealed with the model's key as what belongs to ``job``."""
        key = await open_data_key(
            self.inside.deployment.records.observing.background, self.data_key
        )
        plain = {ADAPTER_GGUF: gguf, ADAPTER_PEFT: packed(PEFT) if peft is None else peft}
        files = {name: self.folder / name for name in plain}
        for name, content in plain.items():
            files[name].write_bytes(seal_file(key, content, job, name))
        await self.artifacts.put(FOLDER, files)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        data_key = await make_data_key(inside.call(inside.caller(ADMIN)), JOB, None)
        adapter = TrainedAdapter(folder=FOLDER, base="base", size_bytes=7, data_key=data_key)
        stores = inside.deployment.state.stores
        async with stores.resources.writing() as transaction:
            model = await transaction.add(
                CustomModel(base_model=BASE, adapter=adapter),
                Place(ACCOUNT, REGION, "taught"),
                arn=MODEL,
            )
        artifacts = Artifacts(tmp_path / "artifacts")
        background = inside.deployment.records.observing.background
        adapters = SealedAdapters(stores.models, artifacts, background)
        yield World(inside, tmp_path, artifacts, adapters, model, data_key)


async def test_an_adapter_is_opened_into_memory_and_nowhere_else(world: World) -> None:
    await world.put()
    assert await world.adapters.find(MODEL) == AdapterFacts("base", 7)
    assert await world.adapters.read_gguf(MODEL) == GGUF
    assert await world.adapters.read_peft(MODEL) == PEFT
    written = [Path(folder, name) for folder, _, names in os.walk(world.folder) for name in names]
    assert any(path.name == ADAPTER_GGUF for path in written)
    for path in written:
        content = path.read_bytes()
        assert b"plain weights" not in content, path
        assert b"plain tensors" not in content, path


@pytest.mark.parametrize("name", ["", "none", JOB, MODEL[:-1]])
async def test_what_is_no_custom_model_has_no_adapter(world: World, name: str) -> None:
    for asked in (
        world.adapters.find(name),
        world.adapters.read_gguf(name),
        world.adapters.read_peft(name),
    ):
        with pytest.raises(NoAdapter, match="no custom model"):
            await asked


async def test_a_model_that_was_not_trained_here_has_no_adapter(world: World) -> None:
    record = msgspec.structs.replace(world.model.record, adapter=None)
    await world.inside.change(replace(world.model, record=record))
    with pytest.raises(NoAdapter, match="not trained here"):
        await world.adapters.find(MODEL)


async def test_without_its_grant_or_its_files_an_adapter_is_not_opened(world: World) -> None:
    with pytest.raises(NoAdapter, match="cannot be opened"):
        await world.adapters.read_gguf(MODEL)
    await world.put()
    key = world.data_key
    await world.inside.client(ADMIN).ask("kms", "RevokeGrant", KeyId=key.kms_key, GrantId=key.grant)
    for asked in (world.adapters.read_gguf(MODEL), world.adapters.read_peft(MODEL)):
        with pytest.raises(NoAdapter, match="the grant was revoked"):
            await asked


class KmsDown:
    """A background in which KMS fails by itself."""

    async def perform(self, *_: Any, **__: Any) -> Mapping[str, Any]:
        raise ServiceError("KMSInternalException", "Not now.", status=500)

    async def fetch(self, *_: Any, **__: Any) -> RawAnswer:
        raise NotImplementedError

    async def may(self, *_: Any, **__: Any) -> bool:
        raise NotImplementedError


async def test_an_adapter_that_kms_does_not_open_now_may_be_opened_later(world: World) -> None:
    await world.put()
    models = world.inside.deployment.state.stores.models
    with pytest.raises(NoAdapter, match="Not now") as raised:
        await SealedAdapters(models, world.artifacts, KmsDown()).read_gguf(MODEL)
    assert raised.value.may_pass


async def test_files_of_another_job_or_in_each_other_s_place_are_not_believed(
    world: World,
) -> None:
    await world.put(job=JOB[:-1])
    with pytest.raises(NoAdapter, match="does not open"):
        await world.adapters.read_gguf(MODEL)
    await world.put()
    one, other = (world.artifacts.at(FOLDER) / name for name in (ADAPTER_GGUF, ADAPTER_PEFT))
    one.write_bytes(other.read_bytes())
    with pytest.raises(NoAdapter, match="does not open"):
        await world.adapters.read_gguf(MODEL)


@pytest.mark.parametrize(
    "peft",
    [
        b"",
        b"PK\x03\x04 and nothing more",
        packed({"adapter_config.json": b"{}"}),
        packed({**PEFT, "adapter_config.json": bytes(2 * 1024 * 1024)}),
        packed(PEFT)[:-40],
        packed(PEFT).replace(b"\x4b", b"\x4c"),
        packed(PEFT, zipfile.ZIP_LZMA),
        directed(8, b"\x01"),
        directed(8, b"\x20"),
        directed(6, b"\xff"),
        directed(42, b"\xff\xff\xff\x7f"),
        directed(8, b"\x00\x08").replace(b"adapter_config.json", b"\xffdapter_config.json"),
        packed(PEFT)[:-6] + b"\xff\xff\xff\x00\x00\x00",
    ],
    ids=[
        "empty",
        "cut",
        "one file",
        "too large",
        "no directory",
        "damaged",
        "compressed otherwise",
        "with a password",
        "patched",
        "of a version to come",
        "a file elsewhere",
        "a name that is no text",
        "a directory elsewhere",
    ],
)
async def test_an_archive_that_is_none_is_refused(world: World, peft: bytes) -> None:
    await world.put(peft=peft)
    with pytest.raises(NoAdapter, match="is damaged"):
        await world.adapters.read_peft(MODEL)


@pytest.mark.parametrize(("status", "stays"), [("InProgress", True), ("Failed", False)])
async def test_the_start_keeps_the_files_of_models_and_of_jobs_that_go_on(
    world: World, status: JobStatus, stays: bool
) -> None:
    await world.put()
    for folder in ("cccccccccccc", "dddddddddddd"):
        file = world.folder / "sealed"
        file.write_bytes(b"sealed")
        await world.artifacts.put(folder, {"sealed": file})
    job = CustomizationJob(
        base_model=BASE,
        type="FINE_TUNING",
        role_arn="",
        model_name="next",
        model_arn=f"{PREFIX}:custom-model/{BASE}/cccccccccccc",
        training_uri="",
        output_uri="",
        hyperparameters={},
        engine="script",
        base="base",
        data_key=world.data_key,
        by="",
        status=status,
    )
    resources = world.inside.deployment.state.stores.resources
    async with resources.writing() as transaction:
        await transaction.add(job, Place(ACCOUNT, REGION, "next"), arn=JOB)
    await sweep_artifacts(resources, world.artifacts)
    assert await world.artifacts.names() == [FOLDER, *(["cccccccccccc"] if stays else [])]
    assert await world.adapters.read_gguf(MODEL) == GGUF
