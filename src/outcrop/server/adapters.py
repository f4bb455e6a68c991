"""What engines load of custom models: sealed files, opened with their data key into memory.

No plain byte is written to a disk here, and the key is gone once the file is open. Engines that
hand files to a server put them into its ``lora_dir``.
"""

import asyncio
import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

from outcrop.engines.adapters import AdapterFacts, NoAdapter
from outcrop.security.sealed_files import NotSealed, open_file
from outcrop.services.background import Background
from outcrop.services.bedrock.customization.keys import KeyUnavailable, open_data_key
from outcrop.services.bedrock.customization.states import is_ended
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.failures import StoreError
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import CustomModel, TrainedAdapter
from outcrop.stores.resources import Resources
from outcrop.training.spec import ADAPTER_GGUF, ADAPTER_PEFT, PEFT_CONFIG, PEFT_WEIGHTS

_MIB: Final = 1024 * 1024
_PEFT_FILES: Final[Mapping[str, int]] = {
    PEFT_CONFIG: _MIB,
    PEFT_WEIGHTS: 4096 * _MIB,
}
"""How many bytes each may have at most."""
_COMPRESSED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    # Offsets that lead out of the file, names that are no UTF-8.
    ValueError,
    # Compressed in a way of its own, or with a password: NotImplementedError is one of these.
    RuntimeError,
)
"""What ``zipfile`` raises for an archive that is none of ours."""


class SealedAdapters:
    """``engines.adapters.Adapters``, of the custom models that were trained here."""

    def __init__(self, models: Mirror, artifacts: Artifacts, background: Background) -> None:
        self._models = models
        self._artifacts = artifacts
        self._background = background

    async def find(self, name: str) -> AdapterFacts:
        adapter = self._get(name)
        return AdapterFacts(base=adapter.base, size_bytes=adapter.size_bytes)

    async def read_gguf(self, name: str) -> bytes:
        return await self._read(name, ADAPTER_GGUF)

    async def read_peft(self, name: str) -> Mapping[str, bytes]:
        packed = await self._read(name, ADAPTER_PEFT)
        try:
            return await asyncio.to_thread(_unpack, packed)
        except _DAMAGES as error:
            why = str(error) or "it ends too soon"
            raise NoAdapter(f"The adapter of {name} is damaged: {why}.") from error

    def _get(self, name: str) -> TrainedAdapter:
        item = self._models.find_arn(name)
        if item is None or not isinstance(item.record, CustomModel):
            raise NoAdapter(f"There is no custom model {name}.")
        if item.record.adapter is None:
            raise NoAdapter(f"The custom model {name} was not trained here.")
        return item.record.adapter

    async def _read(self, name: str, file: str) -> bytes:
        adapter = self._get(name)
        try:
            sealed = await self._artifacts.read(adapter.folder, file)
            key = await open_data_key(self._background, adapter.data_key)
            return await asyncio.to_thread(open_file, key, sealed, adapter.data_key.context, file)
        except KeyUnavailable as error:
            told = f"{name} cannot be opened: {error}"
            raise NoAdapter(told, may_pass=error.may_pass) from error
        except (NotSealed, StoreError) as error:
            raise NoAdapter(f"{name} cannot be opened: {error}") from error


async def sweep_artifacts(resources: Resources, artifacts: Artifacts) -> None:
    """Removes the folders of no model and of no job that goes on: a job may have put its files
    before it was killed, and the model into the records not yet. For the start."""
    async with resources.reading() as view:
        models = await view.list(CustomModel)
        jobs = await view.list(CustomizationJob)
    kept = {model.record.adapter.folder for model in models if model.record.adapter}
    kept |= {job.record.model_arn.rpartition("/")[2] for job in jobs if not is_ended(job.record)}
    await artifacts.keep_only(kept)


def _unpack(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: _unpacked(archive, name, most) for name, most in _PEFT_FILES.items()}


def _unpacked(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    try:
        if archive.getinfo(name).compress_type not in _COMPRESSED:
            raise zipfile.BadZipFile(f"its {name} is compressed as none of ours is")
        with archive.open(name) as file:
            # What the archive says of sizes is not believed: no more than this is unpacked.
            content = file.read(most_bytes + 1)
    except KeyError as error:
        raise zipfile.BadZipFile(f"it has no {name}") from error
    if len(content) > most_bytes:
        raise zipfile.BadZipFile(f"its {name} has more than {most_bytes} bytes")
    return content
