"""The first start: one account, its root user, an administrator and an access key.

Every start runs it; what is there already stays, and preset values that contradict it are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from outcrop.identity import AccessKey, Principal
from outcrop.stores.accounts import IdentityStore
from outcrop.stores.failures import StoreError
from outcrop.stores.iam_names import ADMINISTRATOR_ACCESS, ROOT_NAME
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.keys import KeyStore

ADMIN_NAME = "admin"

_ACCOUNT_VARIABLE = "OUTCROP_ACCOUNT_ID"
_ROOT_VARIABLES = ("OUTCROP_ROOT_ACCESS_KEY_ID", "OUTCROP_ROOT_SECRET_ACCESS_KEY")
_ADMIN_VARIABLES = ("OUTCROP_ACCESS_KEY_ID", "OUTCROP_SECRET_ACCESS_KEY")

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)
# IAM's own limits for the ID of an access key.
_KEY_ID = re.compile(r"\w{16,128}", re.ASCII)
_SECRET = re.compile(r"[!-~]{16,256}", re.ASCII)


class PresetError(StoreError):
    """A preset value is malformed, half given, or contradicts the data directory."""


@dataclass(frozen=True, slots=True)
class KeyPreset:
    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Presets:
    account: str | None = None
    root: KeyPreset | None = None
    admin: KeyPreset | None = None


@dataclass(frozen=True, slots=True)
class Foundation:
    """``key`` is the one to show to the user; ``is_new`` on the very first start."""

    account: str
    key: AccessKey | None
    is_new: bool


def read_presets(environment: Mapping[str, str]) -> Presets:
    account = environment.get(_ACCOUNT_VARIABLE) or None
    if account is not None and not _ACCOUNT_ID.fullmatch(account):
        raise PresetError(f"{_ACCOUNT_VARIABLE} must be 12 digits, not {account!r}.")
    root = _read_key(environment, _ROOT_VARIABLES)
    admin = _read_key(environment, _ADMIN_VARIABLES)
    if root and admin and root.key_id == admin.key_id:
        raise PresetError(f"{_ROOT_VARIABLES[0]} and {_ADMIN_VARIABLES[0]} must differ.")
    return Presets(account, root, admin)


async def lay_foundation(
    identities: IdentityStore, keys: KeyStore, directory: IdentityDirectory, presets: Presets
) -> Foundation:
    await directory.load()
    existing = [account.name for account in await identities.list_accounts()]
    account = await _get_account(identities, existing, presets.account)
    root = await identities.get_user(account, ROOT_NAME)
    admin = await identities.find_user(account, ADMIN_NAME)
    if admin is None and (presets.admin or _is_bare(directory, account)):
        admin = await _create_admin(identities, keys, account, presets)
    if presets.root:
        await _keep_key(keys, directory, root, presets.root)
    if presets.admin and admin:
        await _keep_key(keys, directory, admin, presets.admin)
    return Foundation(account, find_working_key(directory, account, presets), not existing)


def find_working_key(
    directory: IdentityDirectory, account: str, presets: Presets, *, user: str | None = None
) -> AccessKey | None:
    """The key to work with: a preset one, else the administrator's, else the root user's; or only
    those of ``user``."""
    active = [
        key
        for key in directory.list_access_keys(account)
        if key.status == "Active" and user in (None, key.principal.name)
    ]
    wanted = [preset.key_id for preset in (presets.admin, presets.root) if preset]

    def rank(key: AccessKey) -> tuple[int, bool, bool]:
        preset = wanted.index(key.id) if key.id in wanted else len(wanted)
        return preset, key.principal.name != ADMIN_NAME, key.principal.kind != "root"

    return min(active, key=rank, default=None)


def _is_bare(directory: IdentityDirectory, account: str) -> bool:
    """Nobody can get in: it is new, or the first start died half-way. An administrator who was
    deleted beside others does not come back."""
    return not directory.users(account) and not directory.list_access_keys(account)


async def _create_admin(
    identities: IdentityStore, keys: KeyStore, account: str, presets: Presets
) -> Principal:
    attached = (ADMINISTRATOR_ACCESS,)
    if presets.root or presets.admin:
        return await identities.create_user(account, ADMIN_NAME, attached=attached)
    key = await keys.create_user_with_access_key(account, ADMIN_NAME, attached=attached)
    return key.principal


async def _get_account(identities: IdentityStore, existing: list[str], preset: str | None) -> str:
    if not existing:
        return await identities.create_account("default", preset)
    if preset is not None and preset not in existing:
        raise PresetError(
            f"{_ACCOUNT_VARIABLE} is {preset}, but the data directory belongs to account "
            f"{existing[0]}. Unset it, or use another data directory."
        )
    return preset or existing[0]


async def _keep_key(
    keys: KeyStore, directory: IdentityDirectory, owner: Principal, preset: KeyPreset
) -> None:
    known = directory.find_access_key(preset.key_id)
    if known is None:
        await keys.create_access_key(owner, key_id=preset.key_id, secret=preset.secret)
    elif known.principal != owner:
        raise PresetError(
            f"The preset key {preset.key_id} belongs to {known.principal.arn} already, "
            f"not to {owner.arn}. Choose another key ID."
        )
    elif known.secret != preset.secret:
        await keys.set_secret(owner.account, preset.key_id, preset.secret)


def _read_key(environment: Mapping[str, str], variables: tuple[str, str]) -> KeyPreset | None:
    key_id, secret = (environment.get(variable) or "" for variable in variables)
    if not key_id and not secret:
        return None
    if not key_id or not secret:
        raise PresetError(f"{variables[0]} and {variables[1]} must be set together.")
    if not _KEY_ID.fullmatch(key_id):
        raise PresetError(
            f"{variables[0]} must be 16 to 128 letters, digits or underscores, not {key_id!r}."
        )
    if not _SECRET.fullmatch(secret):
        raise PresetError(
            f"{variables[1]} must be 16 to 256 printable ASCII characters without spaces."
        )
    return KeyPreset(key_id, secret)
