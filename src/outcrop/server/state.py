"""Opens a data directory: master key, database, identities, bindings, and the first start's work.

The server and the command line both open it this way, at the same time if need be.
"""

import importlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from outcrop.authorization import managed
from outcrop.config import MasterKeySource
from outcrop.security.masterkey import (
    VARIABLE,
    WRAPPED_FILE_NAME,
    MasterKey,
    MasterKeyError,
    load_master_key,
)
from outcrop.stores.accounts import IdentityStore
from outcrop.stores.bindings import BindingStore
from outcrop.stores.bootstrap import Foundation, Presets, lay_foundation, read_presets
from outcrop.stores.customization_records import SEALED
from outcrop.stores.database import Database
from outcrop.stores.directory import DataDirectory
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.keyring import Keyring
from outcrop.stores.keys import KeyStore
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import MIRRORED, TOPIC as MODELS
from outcrop.stores.opened import Stores
from outcrop.stores.plain_rows import seal_plain_rows
from outcrop.stores.resources import Resources


@dataclass(frozen=True, slots=True)
class State:
    stores: Stores
    foundation: Foundation
    presets: Presets


@asynccontextmanager
async def open_state(
    data_dir: Path, environment: Mapping[str, str], source: MasterKeySource | None = None
) -> AsyncGenerator[State]:
    """``source`` is the KMS key elsewhere that wraps the master key, if it is one."""
    presets = read_presets(environment)
    place = DataDirectory(data_dir)
    place.prepare()
    async with place.setting_up():
        # A database without its key must not get a new key: that would hide the loss.
        is_new = not place.database_file.exists()
        key = await _load_key(data_dir, environment, source, create=is_new)
        database = await Database.open(place.database_file)
        try:
            state = await _assemble(database, key, presets)
        except BaseException:
            await database.close()
            raise
    try:
        yield state
        await state.stores.directory.flush()
    finally:
        await database.close()


async def _load_key(
    data_dir: Path,
    environment: Mapping[str, str],
    source: MasterKeySource | None,
    *,
    create: bool,
) -> MasterKey:
    if source is None:
        if (data_dir / WRAPPED_FILE_NAME).exists() and not environment.get(VARIABLE):
            raise MasterKeyError(
                f"The master key in {data_dir / WRAPPED_FILE_NAME} is wrapped by a KMS key. Name "
                "that key in the configuration: [master_key] kms_key_id, region, endpoint_url."
            )
        return load_master_key(data_dir, environment, create=create)
    if environment.get(VARIABLE):
        raise MasterKeyError(
            f"{VARIABLE} and [master_key] of the configuration both say what the master key is. "
            "Unset one of them."
        )
    # It needs an HTTP client and the AWS SDK, which nobody else should wait for.
    external_key: Any = importlib.import_module("outcrop.server.external_key")
    return cast(MasterKey, await external_key.load_external_key(data_dir, source, create=create))


async def _assemble(database: Database, key: MasterKey, presets: Presets) -> State:
    await seal_plain_rows(database, key, SEALED)
    resources = Resources(database, key)
    directory = IdentityDirectory(resources, database, key, managed.find)
    identities = IdentityStore(resources)
    keys = KeyStore(resources, key, directory)
    foundation = await lay_foundation(identities, keys, directory, presets)
    models = Mirror(resources, MODELS, MIRRORED)
    await models.load()
    stores = Stores(
        database=database,
        sealer=key,
        resources=resources,
        directory=directory,
        identities=identities,
        keys=keys,
        bindings=BindingStore(database),
        keyring=Keyring(resources, key),
        models=models,
    )
    return State(stores, foundation, presets)
