"""The sentence with which AWS refuses: who, which action, on what, and which policy is to blame.

Source: AWS's page on access denied messages; the recorded answers of KMS and Secrets Manager.
"""

from collections.abc import Mapping

from outcrop.authorization.access import Access
from outcrop.errors import AuthorizationDenied
from outcrop.identity import Caller
from outcrop.security.policy.evaluate import Decision

LAYERS: Mapping[str, str] = {
    "identity": "identity-based policy",
    "resource": "resource-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "service-control": "service control policy",
    "endpoint": "VPC endpoint policy",
}
_WITH_ARTICLE = {name: f"a {text}" for name, text in LAYERS.items()} | {
    "identity": "an identity-based policy"
}

_STATUSES: Mapping[str, int] = {"kms": 400, "secretsmanager": 400}
"""Of services that do not answer 403: KMS as recorded, Secrets Manager as its users' tools report
(Terraform shows its denials with "status code: 400")."""


def denial(caller: Caller, access: Access, decision: Decision) -> AuthorizationDenied:
    refused = AuthorizationDenied(sentence(caller.arn, access, decision))
    refused.status = _STATUSES.get(access.action.partition(":")[0], refused.status)
    return refused


def sentence(arn: str, access: Access, decision: Decision) -> str:
    subject = f"User: {arn} is not authorized to perform: {access.action}"
    if access.action == "sts:AssumeRole":
        # STS does not tell strangers what a role's policies lack.
        return f"{subject} on resource: {access.resource}"
    named = access.names or ("" if access.resource == "*" else access.resource)
    place = f" on resource: {named}" if named else ""
    return f"{subject}{place} {_because(access.action, decision)}"


def _because(action: str, decision: Decision) -> str:
    layer = decision.layer or "identity"
    if decision.reason == "explicit-deny":
        is_managed = layer != "resource" and (decision.policy or "").startswith("arn:")
        named = f": {decision.policy}" if is_managed else ""
        return f"with an explicit deny in {_WITH_ARTICLE[layer]}{named}"
    return f"because no {LAYERS[layer]} allows the {action} action"
