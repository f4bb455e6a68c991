"""The directory: every identity of the deployment in memory, for authentication and decisions.

It takes in the changes of this process before their writers go on, and is read anew when another
process has changed something. Whoever caches what follows from it keys that on ``version``.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from outcrop.identity import AccessKey, ApiKey, Caller, Principal, Sealer, root_arn, user_arn
from outcrop.stores.database import Database
from outcrop.stores.iam_items import Held
from outcrop.stores.iam_names import ROOT_NAME
from outcrop.stores.iam_records import (
    TOPIC,
    AccessKeyRecord,
    AccountRecord,
    GroupRecord,
    PolicyRecord,
    RoleRecord,
    ServiceControlPolicyRecord,
    ServiceCredentialRecord,
    UserRecord,
)
from outcrop.stores.key_uses import KeyUse, KeyUses
from outcrop.stores.principal_policies import NamedText, PolicyTexts, PrincipalPolicies
from outcrop.stores.resources import Change, Item, Place, Record, Resources


class IdentityDirectory:
    """``aws_managed`` gives the text of a policy that AWS manages, by its ARN. A
    ``CredentialLookup`` of long-term keys."""

    def __init__(
        self,
        resources: Resources,
        database: Database,
        sealer: Sealer,
        aws_managed: Callable[[str], str | None],
    ) -> None:
        self._resources = resources
        self._sealer = sealer
        self._aws_managed = aws_managed
        self._uses = KeyUses(database)
        self._loading = asyncio.Lock()
        self._opened: dict[bytes, str] = {}
        self._listeners: list[Callable[[], None]] = []
        self.version = 0
        self._replace(())
        resources.listen(TOPIC, self._take, self.load)

    def listen(self, changed: Callable[[], None]) -> None:
        """``changed`` is called after each change, when ``version`` has moved on."""
        self._listeners.append(changed)

    def find_access_key(self, key_id: str) -> AccessKey | None:
        key = self._access_keys.get(key_id)
        if key is None:
            item = self._access_key_items.find_arn(key_id)
            owner = self._owner(item) if item else None
            if item is None or owner is None:
                return None
            secret = self._opened[item.record.sealed_secret]
            key = self._access_keys[key_id] = _access_key(item, owner, secret)
        return key

    def find_api_key(self, key_id: str) -> ApiKey | None:
        key = self._api_keys.get(key_id)
        if key is None:
            item = self._credentials.find_arn(key_id)
            owner = self._owner(item) if item else None
            if item is None or owner is None:
                return None
            key = self._api_keys[key_id] = _api_key(item, owner)
        return key

    def list_access_keys(self, account: str) -> list[AccessKey]:
        items = sorted(self._access_key_items.of(account), key=_age)
        return [key for key in map(self.find_access_key, _names(items)) if key]

    def list_api_keys(self, account: str) -> list[ApiKey]:
        items = sorted(self._credentials.of(account), key=_age)
        return [key for item in items if (key := self.find_api_key(item.record.username))]

    def access_keys_of(self, account: str, user: str) -> list[Item[AccessKeyRecord]]:
        return sorted(self._access_key_items.of(account, parent=user), key=_age)

    def credentials_of(
        self, account: str, user: str | None = None
    ) -> list[Item[ServiceCredentialRecord]]:
        """Of one user, or of all."""
        return sorted(self._credentials.of(account, parent=user), key=_age)

    def accounts(self) -> list[Item[AccountRecord]]:
        """The oldest first."""
        return sorted(self._accounts, key=_age)

    def find_account(self, account: str) -> Item[AccountRecord] | None:
        return self._accounts.find(account, account)

    def find_user(self, account: str, name: str) -> Item[UserRecord] | None:
        """None for the root user, who is none of IAM's."""
        item = self._users.find(account, name)
        return item if item and item.record.kind == "user" else None

    def users(self, account: str) -> list[Item[UserRecord]]:
        return [item for item in self._users.of(account) if item.record.kind == "user"]

    def find_group(self, account: str, name: str) -> Item[GroupRecord] | None:
        return self._groups.find(account, name)

    def groups(self, account: str) -> list[Item[GroupRecord]]:
        return self._groups.of(account)

    def find_role(self, account: str, name: str) -> Item[RoleRecord] | None:
        return self._roles.find(account, name)

    def find_role_arn(self, arn: str) -> Item[RoleRecord] | None:
        return self._roles.find_arn(arn)

    def roles(self, account: str) -> list[Item[RoleRecord]]:
        return self._roles.of(account)

    def find_policy(self, arn: str) -> Item[PolicyRecord] | None:
        """A customer-managed policy."""
        return self._policies.find_arn(arn)

    def policies(self, account: str) -> list[Item[PolicyRecord]]:
        return self._policies.of(account)

    def managed_policy(self, arn: str) -> NamedText | None:
        """The default version of a policy of a customer or of AWS."""
        return self._texts.managed(arn)

    def boundary(self, arn: str) -> NamedText:
        """Allows nothing where the policy is gone."""
        return self._texts.boundary(arn)

    def service_control_of(self, account: str) -> tuple[tuple[NamedText, ...], ...]:
        """Empty where the account is not restricted."""
        return self._texts.service_control(account)

    def is_current(self, principal: Principal) -> bool:
        """Whether this very user or role is there, not another one of its name."""
        return self._find_subject(principal) is not None

    def policies_of(self, principal: Principal) -> PrincipalPolicies | None:
        """None where the user or role is gone. A federated user has those of its issuer: ask for
        that one."""
        subject = self._find_subject(principal)
        if subject is None:
            return None
        known = self._gathered.get(subject.record.id)
        if known is None:
            known = self._gathered[subject.record.id] = self._texts.gather(subject)
        return known

    def last_use(self, key_id: str) -> KeyUse | None:
        """Of an access key by its ID, of a role by its unique ID."""
        return self._uses.find(key_id)

    def touch(self, key_id: str, when: datetime, service: str = "", region: str = "") -> None:
        """Remembers a use; ``flush`` writes what was remembered."""
        if self._access_key_items.find_arn(key_id):
            self._uses.touch(key_id, KeyUse(when, service, region))

    def touch_caller(self, caller: Caller, when: datetime, service: str, region: str) -> None:
        """The use of the key that signed, or of the role whose session it is."""
        self.touch(caller.key_id, when, service, region)
        if caller.principal.kind == "role" and self.is_current(caller.principal):
            role_id = caller.principal.id.partition(":")[0]
            self._uses.touch(role_id, KeyUse(when, service, region))

    async def flush(self) -> None:
        await self._uses.flush()

    async def load(self) -> None:
        """Reads everything anew; on return every committed change is seen."""
        async with self._loading:
            await self._uses.load()
            items = await self._resources.snapshot(*_TYPES)
            # One that cannot be opened leaves everything as it was.
            opened = {
                item.record.sealed_secret: self._open(item)
                for item in items
                if isinstance(item.record, AccessKeyRecord)
            }
            self._replace(items)
            self._opened = opened

    def _replace(self, items: Sequence[Item[Any]]) -> None:
        self._accounts = Held[AccountRecord]()
        self._users = Held[UserRecord]()
        self._groups = Held[GroupRecord]()
        self._roles = Held[RoleRecord]()
        self._policies = Held[PolicyRecord]()
        self._access_key_items = Held[AccessKeyRecord]()
        self._credentials = Held[ServiceCredentialRecord]()
        self._held: dict[type[Record], Held[Any]] = {
            AccountRecord: self._accounts,
            ServiceControlPolicyRecord: Held[ServiceControlPolicyRecord](),
            UserRecord: self._users,
            GroupRecord: self._groups,
            RoleRecord: self._roles,
            PolicyRecord: self._policies,
            AccessKeyRecord: self._access_key_items,
            ServiceCredentialRecord: self._credentials,
        }
        self._texts = PolicyTexts(self._held, self._aws_managed)
        for item in items:
            self._held[type(item.record)].put(item)
        self._moved_on()

    def _take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            held = self._held[change.type]
            if change.item is not None:
                held.put(change.item)
                if isinstance(change.item.record, AccessKeyRecord):
                    self._opened[change.item.record.sealed_secret] = self._open(change.item)
            else:
                self._forget_use(change.type, change.place)
                held.remove(change.place)
        self._moved_on()

    def _forget_use(self, type: type[Record], place: Place) -> None:
        role = self.find_role(place.account, place.name) if type is RoleRecord else None
        if type is AccessKeyRecord:
            self._uses.forget(place.name)
        elif role is not None:
            self._uses.forget(role.record.id)

    def _moved_on(self) -> None:
        """What was made from the records is made anew when it is asked for."""
        self._access_keys: dict[str, AccessKey] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._gathered: dict[str, PrincipalPolicies] = {}
        self.version += 1
        for changed in self._listeners:
            changed()

    def _open(self, item: Item[AccessKeyRecord]) -> str:
        sealed = item.record.sealed_secret
        known = self._opened.get(sealed)
        if known is not None:
            return known
        return self._sealer.open(sealed, secret_context(item.name)).decode()

    def _owner(self, item: Item[Any]) -> Principal | None:
        user = self._users.find(item.place.account, item.parent)
        return principal_of(user) if user else None

    def _find_subject(self, principal: Principal) -> Item[UserRecord] | Item[RoleRecord] | None:
        found: Item[UserRecord] | Item[RoleRecord] | None
        match principal.kind:
            case "root":
                return self._users.find(principal.account, ROOT_NAME)
            case "user":
                found = self.find_user(principal.account, principal.name)
            case "role":
                found = self.find_role_arn(principal.role_arn) if principal.role_arn else None
            case "federated" | "service" | "anonymous":
                return None
        unique_id = principal.id.partition(":")[0]
        return found if found and unique_id in ("", found.record.id) else None


_TYPES: Final = (
    AccountRecord,
    ServiceControlPolicyRecord,
    UserRecord,
    GroupRecord,
    RoleRecord,
    PolicyRecord,
    AccessKeyRecord,
    ServiceCredentialRecord,
)


def principal_of(user: Item[UserRecord]) -> Principal:
    account = user.place.account
    if user.record.kind == "root":
        return Principal(account, ROOT_NAME, root_arn(account), "root", account)
    arn = user_arn(account, user.name, user.record.path)
    return Principal(account, user.name, arn, "user", user.record.id)


def secret_context(key_id: str) -> bytes:
    """What an access key's sealed secret is bound to."""
    return f"access-key:{key_id}".encode()


def _names(items: Sequence[Item[Any]]) -> list[str]:
    return [item.name for item in items]


def _age(item: Item[Any]) -> tuple[datetime, str]:
    return item.created_at, item.name


def _access_key(item: Item[AccessKeyRecord], owner: Principal, secret: str) -> AccessKey:
    return AccessKey(
        id=item.name,
        secret=secret,
        principal=owner,
        status=item.record.status,
        created_at=item.created_at,
    )


def _api_key(item: Item[ServiceCredentialRecord], owner: Principal) -> ApiKey:
    return ApiKey(
        id=item.record.username,
        name=item.record.title,
        secret_hash=item.record.secret_hash,
        principal=owner,
        status=item.record.status,
        expires_at=item.record.expires_at,
        created_at=item.created_at,
    )
