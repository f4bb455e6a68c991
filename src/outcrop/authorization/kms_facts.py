"""What decides over a KMS key: its own policy, and the grants that fit the request.

A grant that fits (operation, encryption context) counts as a statement of the key policy for its
grantee.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from outcrop.authorization.access import Access, Facts, KeyValues
from outcrop.authorization.kms_grants import GrantUse, granted_principals
from outcrop.stores.keyring import Keyring
from outcrop.stores.kms_records import KeyReference, KmsKey, read_reference
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item


@dataclass(frozen=True, slots=True)
class KeyAccess(Access):
    """``callers`` are the ARNs that grants may know the caller by, or the name of the service that
    calls, which acts for ``source_arn``. ``context`` is the encryption context, ``other`` the
    second key of a ReEncrypt, ``grant`` the ID of the grant asked about. ``policy`` is judged in
    place of the key's own: a policy that is to be stored must not lock out whoever stores it."""

    callers: frozenset[str] = frozenset()
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    other: str = ""
    grant: str = ""
    policy: str | None = None
    source_arn: str | None = None


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    # An alias itself, ``…:alias/name``, has no policy; a key is ``…:key/alias/name`` here.
    if not access.resource.split(":", 5)[-1].startswith("key/"):
        return None
    reference = read_reference(access.resource, "", "")
    if reference is None:
        return None
    keyring = stores.keyring
    await keyring.ready()
    key = keyring.find(reference)
    if key is None:
        return _missing(reference, access)
    return Facts(
        account=key.place.account,
        tags=key.tags,
        policy=_policy(keyring, key, access),
        kind="key",
        decides=True,
        keys=_key_facts(keyring, key, access),
        resource=key.arn,
    )


def _missing(reference: KeyReference, access: Access) -> Facts | None:
    """Whether another account has such a key is not for this caller to learn."""
    if isinstance(access, KeyAccess) and access.policy is not None:
        return Facts(account=reference.account, policy=access.policy, kind="key", decides=True)
    if access.keys.get("kms:calleraccount", reference.account) == reference.account:
        return None
    return Facts(account=reference.account, policy=_NOBODY, kind="key", decides=True)


_NOBODY = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":'
    '"nobody.amazonaws.com"},"Action":"kms:DescribeKey","Resource":"*"}}'
)


def _policy(keyring: Keyring, key: Item[KmsKey], access: Access) -> str:
    if not isinstance(access, KeyAccess):
        return key.record.policy
    text = key.record.policy if access.policy is None else access.policy
    use = GrantUse(
        operation=access.action.removeprefix("kms:"),
        context=access.context,
        grant=access.grant,
        operations=access.keys.get("kms:grantoperations", ()),
        constraint=str(access.keys.get("kms:grantconstrainttype", "")),
        source_arn=access.source_arn,
    )
    principals = granted_principals(keyring.grants_of(key.place), access.callers, use)
    return _with_grants(text, access.action, principals) if principals else text


@lru_cache(maxsize=1024)
def _with_grants(policy: str, action: str, principals: tuple[str, ...]) -> str:
    document = msgspec.json.decode(policy)
    own: Any = document.get("Statement", [])
    # A caller is one service, or somebody who is none.
    kind = "AWS" if principals[0].startswith("arn:") else "Service"
    granted = {
        "Effect": "Allow",
        "Principal": {kind: principals},
        "Action": action,
        "Resource": "*",
    }
    statements: list[Any] = [*own, granted] if isinstance(own, list) else [own, granted]
    return msgspec.json.encode({**document, "Statement": statements}).decode()


def _key_facts(keyring: Keyring, key: Item[KmsKey], access: Access) -> KeyValues:
    keys: dict[str, str | tuple[str, ...]] = {
        "kms:keyorigin": "AWS_KMS",
        "kms:keyspec": "SYMMETRIC_DEFAULT",
        "kms:customermasterkeyspec": "SYMMETRIC_DEFAULT",
        "kms:keyusage": "ENCRYPT_DECRYPT",
        "kms:customermasterkeyusage": "ENCRYPT_DECRYPT",
        "kms:multiregion": "false",
    }
    aliases = keyring.aliases_of(key.place)
    if aliases:
        keys["kms:resourcealiases"] = tuple(aliases)
    if isinstance(access, KeyAccess) and access.other:
        other = read_reference(access.other, "", "")
        same = other is not None and keyring.find(other) is key
        keys["kms:reencryptonsamekey"] = "true" if same else "false"
    return keys
