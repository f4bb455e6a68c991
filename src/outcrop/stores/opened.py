"""The stores of one data directory, opened together."""

from dataclasses import dataclass

from outcrop.identity import Sealer
from outcrop.stores.accounts import IdentityStore
from outcrop.stores.bindings import BindingStore
from outcrop.stores.database import Database
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.keyring import Keyring
from outcrop.stores.keys import KeyStore
from outcrop.stores.mirror import Mirror
from outcrop.stores.resources import Resources


@dataclass(frozen=True, slots=True)
class Stores:
    """``directory`` is what requests are authenticated and authorized against; ``sealer`` seals
    secrets with the deployment's master key; ``models`` holds the records of ``model_records`` that
    requests look at."""

    database: Database
    sealer: Sealer
    resources: Resources
    directory: IdentityDirectory
    identities: IdentityStore
    keys: KeyStore
    bindings: BindingStore
    keyring: Keyring
    models: Mirror
