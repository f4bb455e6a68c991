"""KMS in the service authorization reference: each operation's action on the key it names.

What an alias stands for is found with the facts, so here a key is ``…:key/alias/name`` as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from outcrop.authorization.access import Access, Asked, KeyValues, Rule
from outcrop.authorization.kms_facts import KeyAccess
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.identity import Principal
from outcrop.security.ciphertexts import NotOurs, read_header
from outcrop.security.grant_tokens import MalformedToken, read_grant_token
from outcrop.stores.kms_records import KeyReference, key_arn, read_reference

KeyValuesMade = dict[str, str | tuple[str, ...]]


def caller_keys(asked: Asked) -> KeyValuesMade:
    keys: KeyValuesMade = {"kms:calleraccount": asked.account}
    if asked.caller.via:
        keys["kms:viaservice"] = asked.caller.via[-1]
    return keys


def _about(
    asked: Asked,
    action: str,
    resource: str,
    keys: KeyValues,
    *,
    context: Mapping[str, str] | None = None,
    grant: str = "",
) -> KeyAccess:
    return KeyAccess(
        f"kms:{action}",
        resource,
        keys,
        callers=_known_by(asked.caller.principal),
        context=context or {},
        grant=grant,
        source_arn=asked.caller.source_arn,
    )


def _known_by(principal: Principal) -> frozenset[str]:
    """A service acts for an account's resource, and yet has nothing that the account has."""
    if principal.kind == "service":
        return frozenset({principal.name})
    root = f"arn:aws:iam::{principal.account}:root"
    return frozenset({principal.arn, root, principal.role_arn or ""})


def context_keys(context: Mapping[str, str]) -> KeyValuesMade:
    """Names differ by case in a context and not in condition keys: such values stand together."""
    if not context:
        return {}
    values: dict[str, tuple[str, ...]] = {}
    for name, value in context.items():
        key = f"kms:encryptioncontext:{name.lower()}"
        values[key] = (*values.get(key, ()), value)
    keys: KeyValuesMade = {key: v[0] if len(v) == 1 else v for key, v in values.items()}
    keys["kms:encryptioncontextkeys"] = tuple(context)
    return keys


def _flag(value: object) -> str:
    return "true" if value else "false"


def _reference(asked: Asked, key_id: str) -> KeyReference:
    found = read_reference(key_id, asked.region, asked.account)
    # An ARN of something else names no key of anyone; the handler refuses it.
    return found or KeyReference(asked.region, asked.account, key_id)


def _sealed_with(asked: Asked, blob: bytes) -> str:
    """The key that a ciphertext says it is of. What is no ciphertext is the handler's to refuse."""
    try:
        header = read_header(blob)
    except NotOurs:
        return key_arn(asked.region, asked.account, "*")
    return key_arn(asked.region, header.account, header.key_id)


def _on_key(action: str, *more: Callable[[Asked], KeyValuesMade], member: str = "KeyId") -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        reference = _reference(asked, asked.params.get(member, ""))
        keys = caller_keys(asked)
        for each in more:
            keys.update(each(asked))
        return [_about(asked, action, reference.resource, keys, grant=_grant(asked))]

    return rule


def _grant(asked: Asked) -> str:
    return asked.params.get("GrantId", "")


def _request_alias(asked: Asked, member: str) -> KeyValuesMade:
    key_id = asked.params.get(member)
    reference = _reference(asked, key_id) if key_id else None
    return {"kms:requestalias": reference.name} if reference and reference.is_alias else {}


def _use(action: str) -> Rule:
    """A cryptographic operation with the key it names, or that its ciphertext names."""

    def rule(asked: Asked) -> Sequence[Access]:
        resource = _resource_of(asked, "KeyId")
        return [_used(asked, action, resource, "KeyId", "EncryptionContext")]

    return rule


def _re_encrypt(asked: Asked) -> Sequence[Access]:
    source, target = _resource_of(asked, "SourceKeyId"), _resource_of(asked, "DestinationKeyId")
    decrypts = _used(asked, "ReEncryptFrom", source, "SourceKeyId", "SourceEncryptionContext")
    encrypts = _used(
        asked, "ReEncryptTo", target, "DestinationKeyId", "DestinationEncryptionContext"
    )
    return [replace(decrypts, other=target), replace(encrypts, other=source)]


def _resource_of(asked: Asked, member: str) -> str:
    if member in asked.params:
        return _reference(asked, asked.params[member]).resource
    return _sealed_with(asked, asked.params.get("CiphertextBlob", b""))


def _used(asked: Asked, action: str, resource: str, member: str, context_member: str) -> KeyAccess:
    context: Mapping[str, str] = asked.params.get(context_member, {})
    keys = caller_keys(asked) | context_keys(context) | _request_alias(asked, member)
    keys["kms:encryptionalgorithm"] = "SYMMETRIC_DEFAULT"
    return _about(asked, action, resource, keys, context=context)


def _describe(action: str) -> Rule:
    return _on_key(action, lambda asked: _request_alias(asked, "KeyId"))


def _create_key(asked: Asked) -> Sequence[Access]:
    params = asked.params
    keys = caller_keys(asked) | request_tag_keys(params.get("Tags"))
    spec = params.get("KeySpec") or params.get("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    usage = params.get("KeyUsage", "ENCRYPT_DECRYPT")
    keys |= {
        "kms:bypasspolicylockoutsafetycheck": _flag(params.get("BypassPolicyLockoutSafetyCheck")),
        "kms:keyspec": spec,
        "kms:customermasterkeyspec": spec,
        "kms:keyusage": usage,
        "kms:customermasterkeyusage": usage,
        "kms:keyorigin": params.get("Origin", "AWS_KMS"),
        "kms:multiregion": _flag(params.get("MultiRegion")),
    }
    accesses = [Access("kms:CreateKey", "*", keys)]
    if params.get("Tags"):
        accesses.append(Access("kms:TagResource", "*", keys))
    return accesses


def _alias(action: str) -> Rule:
    """Leave on the alias, on the key it gets, and on the key it has (which an alias ARN names)."""

    def rule(asked: Asked) -> Sequence[Access]:
        keys = caller_keys(asked)
        name = asked.params["AliasName"]
        own = KeyReference(asked.region, asked.account, name)
        alias = f"arn:aws:kms:{asked.region}:{asked.account}:{name}"
        accesses: list[Access] = [Access(f"kms:{action}", alias, keys)]
        if "TargetKeyId" in asked.params:
            target = _reference(asked, asked.params["TargetKeyId"])
            accesses.append(_about(asked, action, target.resource, keys))
        if action != "CreateAlias":
            accesses.append(_about(asked, action, own.resource, keys))
        return accesses

    return rule


def _create_grant(asked: Asked) -> Sequence[Access]:
    params = asked.params
    keys = caller_keys(asked)
    keys["kms:grantisforawsresource"] = _flag(asked.caller.via)
    keys["kms:grantoperations"] = tuple(params["Operations"])
    for key, member in (
        ("kms:granteeprincipal", "GranteePrincipal"),
        ("kms:retiringprincipal", "RetiringPrincipal"),
    ):
        if member in params:
            keys[key] = params[member]
    constraints: Mapping[str, Any] = params.get("Constraints", {})
    context: Mapping[str, str] = {}
    for kind in ("EncryptionContextEquals", "EncryptionContextSubset"):
        if kind in constraints:
            keys["kms:grantconstrainttype"] = kind
            context = constraints[kind]
    keys |= context_keys(context)
    resource = _reference(asked, params["KeyId"]).resource
    return [_about(asked, "CreateGrant", resource, keys, context=context)]


def _retire_grant(asked: Asked) -> Sequence[Access]:
    params = asked.params
    resource = _reference(asked, params.get("KeyId", "*")).resource
    grant = params.get("GrantId", "")
    if "GrantToken" in params:
        try:
            token = read_grant_token(params["GrantToken"])
        except MalformedToken:
            # The handler refuses it; nothing is retired by it.
            grant = ""
        else:
            resource = key_arn(asked.region, token.account, token.key_id)
            grant = token.grant_id
    return [_about(asked, "RetireGrant", resource, caller_keys(asked), grant=grant)]


def _anywhere(action: str) -> Rule:
    return lambda asked: [Access(f"kms:{action}", "*", caller_keys(asked))]


def _tags(asked: Asked) -> KeyValuesMade:
    if "Tags" in asked.params:
        return request_tag_keys(asked.params["Tags"])
    return removed_tag_keys(asked.params["TagKeys"])


def _lockout(asked: Asked) -> KeyValuesMade:
    bypass = asked.params.get("BypassPolicyLockoutSafetyCheck")
    return {"kms:bypasspolicylockoutsafetycheck": _flag(bypass)}


def _pending_window(asked: Asked) -> KeyValuesMade:
    days = asked.params.get("PendingWindowInDays", 30)
    return {"kms:scheduledeletionpendingwindowindays": str(days)}


def _rotation_period(asked: Asked) -> KeyValuesMade:
    return {"kms:rotationperiodindays": str(asked.params.get("RotationPeriodInDays", 365))}


_PLAIN = (
    "CancelKeyDeletion",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListResourceTags",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "UpdateKeyDescription",
)
_USES = (
    "Decrypt",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "Sign",
    "Verify",
    "VerifyMac",
)

RULES: Mapping[str, Rule] = {
    **{name: _on_key(name) for name in _PLAIN},
    **{name: _use(name) for name in _USES},
    "CreateAlias": _alias("CreateAlias"),
    "CreateGrant": _create_grant,
    "CreateKey": _create_key,
    "DeleteAlias": _alias("DeleteAlias"),
    "DescribeKey": _describe("DescribeKey"),
    "EnableKeyRotation": _on_key("EnableKeyRotation", _rotation_period),
    "GenerateRandom": _anywhere("GenerateRandom"),
    "GetPublicKey": _describe("GetPublicKey"),
    "ListAliases": _anywhere("ListAliases"),
    "ListKeys": _anywhere("ListKeys"),
    "ListRetirableGrants": _anywhere("ListRetirableGrants"),
    "PutKeyPolicy": _on_key("PutKeyPolicy", _lockout),
    "ReEncrypt": _re_encrypt,
    "RetireGrant": _retire_grant,
    "ScheduleKeyDeletion": _on_key("ScheduleKeyDeletion", _pending_window),
    "TagResource": _on_key("TagResource", _tags),
    "UntagResource": _on_key("UntagResource", _tags),
    "UpdateAlias": _alias("UpdateAlias"),
}
