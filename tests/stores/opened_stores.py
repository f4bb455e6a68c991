"""A deployment's state in a temporary data directory."""

from dataclasses import dataclass
from pathlib import Path

from outcrop.security.masterkey import MasterKey
from outcrop.stores.database import Database
from outcrop.stores.identities import IdentityDirectory, IdentityStore
from outcrop.stores.keys import KeyStore

SEALER = MasterKey(bytes(range(32)))


@dataclass
class Opened:
    file: Path
    database: Database
    directory: IdentityDirectory
    identities: IdentityStore
    keys: KeyStore


async def open_stores(file: Path) -> Opened:
    database = await Database.open(file)
    directory = IdentityDirectory(database, SEALER)
    await directory.load()
    keys = KeyStore(database, SEALER, directory)
    return Opened(file, database, directory, IdentityStore(database), keys)
