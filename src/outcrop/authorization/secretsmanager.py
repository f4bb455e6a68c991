"""Secrets Manager in the service authorization reference: each operation on the secret it names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.opened import Stores
from outcrop.stores.secret_records import secret_arn
from outcrop.stores.secret_store import find_secret, read_secret_id

Keys = dict[str, str | tuple[str, ...]]


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    read = read_secret_id(access.resource, "", "") if access.resource != "*" else None
    if read is None:
        return None
    place, arn = read
    if access.names is not None and not access.names.startswith("arn:"):
        # A name may look like another secret's name with its random ending.
        arn = None
    async with stores.resources.reading() as view:
        secret = await find_secret(view, place, arn)
    if secret is None:
        # Of another account, its owner alone decides; nobody learns whether it is there.
        return Facts(account=place.account)
    return Facts(
        account=secret.place.account,
        tags=secret.tags,
        policy=secret.record.policy,
        keys={
            "secretsmanager:secretprimaryregion": secret.place.region,
            **{
                f"secretsmanager:resourcetag/{key.lower()}": value
                for key, value in secret.tags.items()
            },
        },
        resource=secret.arn,
    )


def _on_secret(action: str, more: Callable[[Mapping[str, Any]], Keys] | None = None) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        secret_id = asked.params["SecretId"]
        keys: Keys = {"secretsmanager:secretid": secret_id}
        if more is not None:
            keys |= more(asked.params)
        return [Access(f"secretsmanager:{action}", _resource(asked, secret_id), keys, secret_id)]

    return rule


def _resource(asked: Asked, secret_id: str) -> str:
    if secret_id.startswith("arn:"):
        return secret_id
    return secret_arn(asked.region, asked.account, secret_id)


def _create(asked: Asked) -> Sequence[Access]:
    params, name = asked.params, asked.params["Name"]
    keys: Keys = {"secretsmanager:name": name, **request_tag_keys(params.get("Tags"))}
    for key, member in (("description", "Description"), ("kmskeyid", "KmsKeyId")):
        if member in params:
            keys[f"secretsmanager:{key}"] = params[member]
    resource = secret_arn(asked.region, asked.account, name)
    actions = ["CreateSecret", *(["TagResource"] if params.get("Tags") else [])]
    return [Access(f"secretsmanager:{action}", resource, keys, name) for action in actions]


def _version(params: Mapping[str, Any]) -> Keys:
    keys: Keys = {}
    if "VersionId" in params:
        keys["secretsmanager:versionid"] = params["VersionId"]
    if "VersionStage" in params or "VersionId" not in params:
        keys["secretsmanager:versionstage"] = params.get("VersionStage", "AWSCURRENT")
    return keys


def _deletion(params: Mapping[str, Any]) -> Keys:
    force = bool(params.get("ForceDeleteWithoutRecovery"))
    keys: Keys = {"secretsmanager:forcedeletewithoutrecovery": "true" if force else "false"}
    if not force:
        keys["secretsmanager:recoverywindowindays"] = str(params.get("RecoveryWindowInDays", 30))
    return keys


def _update(params: Mapping[str, Any]) -> Keys:
    named = {"description": "Description", "kmskeyid": "KmsKeyId"}
    return {
        f"secretsmanager:{key}": params[member] for key, member in named.items() if member in params
    }


def _stage(params: Mapping[str, Any]) -> Keys:
    return {"secretsmanager:versionstage": params["VersionStage"]}


def _public(params: Mapping[str, Any]) -> Keys:
    block = "true" if params.get("BlockPublicPolicy") else "false"
    return {"secretsmanager:blockpublicpolicy": block}


def _validate(asked: Asked) -> Sequence[Access]:
    secret_id = asked.params.get("SecretId")
    if secret_id is not None:
        return _on_secret("ValidateResourcePolicy")(asked)
    return [Access("secretsmanager:ValidateResourcePolicy")]


_PLAIN = (
    "CancelRotateSecret",
    "DeleteResourcePolicy",
    "DescribeSecret",
    "GetResourcePolicy",
    "ListSecretVersionIds",
    "PutSecretValue",
    "RestoreSecret",
    "RotateSecret",
)

RULES: Mapping[str, Rule] = {
    **{name: _on_secret(name) for name in _PLAIN},
    "CreateSecret": _create,
    "DeleteSecret": _on_secret("DeleteSecret", _deletion),
    "GetSecretValue": _on_secret("GetSecretValue", _version),
    "PutResourcePolicy": _on_secret("PutResourcePolicy", _public),
    "TagResource": _on_secret("TagResource", lambda params: request_tag_keys(params["Tags"])),
    "UntagResource": _on_secret(
        "UntagResource", lambda params: removed_tag_keys(params["TagKeys"])
    ),
    "UpdateSecret": _on_secret("UpdateSecret", _update),
    "UpdateSecretVersionStage": _on_secret("UpdateSecretVersionStage", _stage),
    "ValidateResourcePolicy": _validate,
}
