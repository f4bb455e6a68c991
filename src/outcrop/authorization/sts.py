"""What STS asks leave for: the trust policy of a role decides who assumes it.

Operations that only authenticate (GetCallerIdentity, GetSessionToken) ask for nothing: no policy
can forbid them. Source: the service authorization reference of AWS STS.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.errors import AuthorizationDenied
from outcrop.identity import Caller
from outcrop.stores.opened import Stores

ASSUME_ROLE = "sts:AssumeRole"
TAG_SESSION = "sts:TagSession"
SET_SOURCE_IDENTITY = "sts:SetSourceIdentity"

_ARN = re.compile(r"arn:[^:]+:[^:]+:[^:]*:[^:]*:.+", re.DOTALL)


def is_arn(text: str) -> bool:
    return bool(_ARN.fullmatch(text))


def assume_role_denied(caller: Caller, role_arn: str) -> AuthorizationDenied:
    """The same for a role that is not there: strangers do not learn which names an account uses."""
    return AuthorizationDenied(
        f"User: {caller.arn} is not authorized to perform: {ASSUME_ROLE} on resource: {role_arn}"
    )


def trust_keys(params: Mapping[str, Any]) -> dict[str, str | tuple[str, ...]]:
    """The condition keys of a request to assume a role, or for a federated user."""
    single = {
        "sts:rolesessionname": params.get("RoleSessionName"),
        "sts:externalid": params.get("ExternalId"),
        "sts:sourceidentity": params.get("SourceIdentity"),
        "sts:durationseconds": params.get("DurationSeconds"),
    }
    keys: dict[str, str | tuple[str, ...]] = {
        name: str(value) for name, value in single.items() if value is not None
    }
    tags: Sequence[Mapping[str, str]] = params.get("Tags") or ()
    keys |= {f"aws:requesttag/{tag['Key'].lower()}": tag["Value"] for tag in tags}
    if tags:
        keys["aws:tagkeys"] = tuple(tag["Key"] for tag in tags)
    if params.get("TransitiveTagKeys"):
        keys["sts:transitivetagkeys"] = tuple(params["TransitiveTagKeys"])
    return keys


def _assume_role(asked: Asked) -> Sequence[Access]:
    role_arn = asked.params["RoleArn"]
    if asked.caller.principal.kind == "root" or not is_arn(role_arn):
        # The handler refuses both, in words of their own.
        return ()
    keys = trust_keys(asked.params)
    session = asked.caller.session
    actions = [ASSUME_ROLE]
    if asked.params.get("Tags") or (session and session.transitive_tags):
        actions.append(TAG_SESSION)
    source_identity = session.source_identity if session else None
    if source_identity is not None:
        keys.setdefault("sts:sourceidentity", source_identity)
    if "sts:sourceidentity" in keys:
        actions.append(SET_SOURCE_IDENTITY)
    return [Access(action, role_arn, keys) for action in actions]


def _get_federation_token(asked: Asked) -> Sequence[Access]:
    user = f"arn:aws:sts::{asked.account}:federated-user/{asked.params['Name']}"
    keys = trust_keys(asked.params)
    accesses = [Access("sts:GetFederationToken", user, keys)]
    if asked.params.get("Tags"):
        accesses.append(Access(TAG_SESSION, user, keys))
    return accesses


def _nothing(_asked: Asked) -> Sequence[Access]:
    return ()


RULES: Mapping[str, Rule] = {
    "AssumeRole": _assume_role,
    "GetFederationToken": _get_federation_token,
    "GetCallerIdentity": _nothing,
    "GetSessionToken": _nothing,
}


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    role = stores.directory.find_role_arn(access.resource)
    if role is None:
        return None
    return Facts(
        account=role.place.account,
        tags=role.tags,
        policy=role.record.trust,
        kind="trust",
        decides=True,
        keys={f"iam:resourcetag/{key.lower()}": value for key, value in role.tags.items()},
    )
