"""A deployment's state in a temporary data directory."""

from dataclasses import dataclass
from pathlib import Path

from outcrop.security.masterkey import MasterKey
from outcrop.stores.accounts import IdentityStore
from outcrop.stores.database import Database
from outcrop.stores.iam_names import ADMINISTRATOR_ACCESS
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.keys import KeyStore
from outcrop.stores.principal_policies import FULL_ACCESS_TEXT
from outcrop.stores.resources import Resources

SEALER = MasterKey(bytes(range(32)))

AWS_MANAGED = {ADMINISTRATOR_ACCESS: FULL_ACCESS_TEXT}


@dataclass
class Opened:
    file: Path
    database: Database
    resources: Resources
    directory: IdentityDirectory
    identities: IdentityStore
    keys: KeyStore


async def open_stores(file: Path) -> Opened:
    database = await Database.open(file)
    resources = Resources(database, SEALER)
    directory = IdentityDirectory(resources, database, SEALER, AWS_MANAGED.get)
    await directory.load()
    keys = KeyStore(resources, SEALER, directory)
    return Opened(file, database, resources, directory, IdentityStore(resources), keys)
