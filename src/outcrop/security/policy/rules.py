"""What a well-formed document may say, by its kind, in the order in which IAM finds fault.

The order is observable: a document with two faults is refused for the first.
"""

import re
from collections.abc import Callable, Iterator

from outcrop.security.policy.flaws import Flaw, Kind
from outcrop.security.policy.grammar import Document
from outcrop.security.policy.principals import EVERYONE, account_of

_IAM_KINDS = frozenset[Kind]({"identity", "boundary", "session"})
_NO_PRINCIPAL = _IAM_KINDS | frozenset[Kind]({"service-control"})
_CURRENT = "2012-10-17"

# IAM takes letters and digits only, but its guides' examples carry spaces and hyphens.
_SID = re.compile(r"[0-9A-Za-z _-]*")
_VENDOR = re.compile(r"[a-zA-Z0-9.-]+")
_WILD = re.compile(r"[*?]")
_TRUST_ACTIONS = re.compile(
    r"sts:(?:AssumeRole[a-z]*|TagSession|SetSourceIdentity|SetContext|[a-z]*[*?][a-z*?]*)",
    re.IGNORECASE,
)
_IAM_PATHS = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:user|role)/[\w+=,.@/-]+"
    r"|sts::[0-9]{12}:(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+)"
    r"|iam::cloudfront:user/[\w .-]+)",
    re.ASCII,
)
# What remains of a principal that was deleted.
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,28}")
# IAM knows its services by name; a name that is no service's is nobody's here.
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_FEDERATED = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:saml|oidc)-provider/\S+|[a-z0-9-]+(?:\.[a-z0-9-]+)+"
)
_CANONICAL = re.compile(r"[0-9a-f]{64}")

Check = Callable[[Document, Kind], None]


def check(document: Document, kind: Kind) -> None:
    for rule in _TRUST_ORDER if kind == "trust" else _ORDER:
        rule(document, kind)


def _check_principal_presence(document: Document, kind: Kind) -> None:
    for clause in document.clauses:
        if kind in _NO_PRINCIPAL and clause.principals is not None:
            raise Flaw("principal-present")
        if kind not in _NO_PRINCIPAL and kind != "endpoint" and clause.principals is None:
            raise Flaw("missing-field", field="Principal")


def _check_version(document: Document, kind: Kind) -> None:
    if kind in _NO_PRINCIPAL and document.version != _CURRENT:
        raise Flaw("version")


def _check_effect(document: Document, kind: Kind) -> None:
    for clause in document.clauses:
        if clause.effect in ("Allow", "Deny"):
            continue
        # "allow" passes IAM's grammar and fails its older parser; "Permit" fails the grammar.
        name = "effect" if clause.effect.lower() in ("allow", "deny") else "syntax"
        raise Flaw("effect" if kind in ("trust", "bucket") else name, effect=clause.effect)


def _check_sids(document: Document, kind: Kind) -> None:
    sids = [clause.sid for clause in document.clauses if clause.sid]
    if len(set(sids)) != len(sids):
        raise Flaw("duplicate-sid")
    if kind in _IAM_KINDS and not all(_SID.fullmatch(sid) for sid in sids):
        raise Flaw("sid")


def _check_actions_present(document: Document, _kind: Kind) -> None:
    if not all(clause.actions for clause in document.clauses):
        raise Flaw("no-actions")


def _check_resources_present(document: Document, _kind: Kind) -> None:
    if not all(clause.resources for clause in document.clauses):
        raise Flaw("no-resources")


def _check_no_resources(document: Document, _kind: Kind) -> None:
    for clause in document.clauses:
        if clause.resources is not None:
            field = "NotResource" if clause.not_resources else "Resource"
            raise Flaw("prohibited-field", field=field)


def _check_actions(document: Document, kind: Kind) -> None:
    for clause in document.clauses:
        for action in clause.actions or ():
            _check_action(action)
            if kind == "bucket" and not _is_for_s3(action):
                raise Flaw("action")
        for condition in clause.conditions:
            if ":" not in condition.key:
                raise Flaw("action", _NO_VENDOR)


_NO_VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."


def _check_action(action: str) -> None:
    if action in ("*", "*:*"):
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise Flaw("action", _NO_VENDOR)
    if ":" in name:
        raise Flaw("action", "Actions/Condition can contain only one colon.")
    if _WILD.search(vendor):
        raise Flaw("action", "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards.")
    if not _VENDOR.fullmatch(vendor):
        raise Flaw("action", f"Vendor {vendor} is not valid")


def _is_for_s3(action: str) -> bool:
    return action in ("*", "*:*") or action.lower().startswith("s3:")


def _check_trust_actions(document: Document, _kind: Kind) -> None:
    for action in _all_actions(document):
        if not _TRUST_ACTIONS.fullmatch(action):
            raise Flaw("trust-action")


def _all_actions(document: Document) -> Iterator[str]:
    for clause in document.clauses:
        yield from clause.actions or ()


def _check_resources(document: Document, kind: Kind) -> None:
    for clause in document.clauses:
        for resource in clause.resources or ():
            if kind == "bucket" and not (resource == "*" or resource.startswith("arn:aws:s3:")):
                raise Flaw("resource")
            if kind in _IAM_KINDS:
                _check_resource(resource)


def _check_resource(resource: str) -> None:
    """``Resource`` as IAM takes it; the last word in each case is IAM's own."""
    if resource == "*":
        return
    _, colon, rest = resource.partition(":")
    if not colon:
        raise Flaw("resource", f'Resource {resource} must be in ARN format or "*".')
    partition, *parts = rest.split(":", 4)
    if partition not in ("aws", "*"):
        arn = ":".join((["*" if parts == [""] else part for part in parts] + ["*"] * 4)[:4])
        text = f'Partition "{partition}" is not valid for resource "arn:{partition}:{arn}".'
        raise Flaw("resource", text)
    if not parts or _WILD.search(parts[0]):
        text = "Resource vendor must be fully qualified and cannot contain regexes."
        raise Flaw("resource", text)
    if not parts[0] or (resource.count(":") < 5 and "::" in resource):
        raise Flaw("legacy-resource")
    vendor, region, account, path = (parts + [""] * 3)[:4]
    if vendor == "s3" and region and not account:
        raise Flaw("resource", f"Resource {resource} can not contain region information.")
    if vendor == "iam":
        _check_iam_resource(resource, region, path)


def _check_iam_resource(resource: str, region: str, path: str) -> None:
    if region:
        raise Flaw("resource", f"IAM resource {resource} cannot contain region information.")
    if path not in ("*", "root") and not path.startswith(_IAM_PATHS):
        paths = ", ".join(_IAM_PATHS)
        raise Flaw("resource", f'IAM resource path must either be "*" or start with {paths}.')


def _check_principals(document: Document, kind: Kind) -> None:
    for clause in document.clauses:
        if clause.not_principals and clause.effect == "Allow":
            raise Flaw("prohibited-field", field="NotPrincipal")
        for name, principals in (clause.principals or {}).items():
            for principal in principals:
                if not _is_principal(name, principal):
                    raise Flaw("principal", type=name.upper(), principal=principal)
    if kind == "trust" and any(clause.not_principals for clause in document.clauses):
        raise Flaw("prohibited-field", field="NotPrincipal")


def _is_principal(name: str, principal: str) -> bool:
    match name:
        case "AWS":
            return (
                principal == EVERYONE
                or account_of(principal) is not None
                or _PRINCIPAL_ARN.fullmatch(principal) is not None
                or _UNIQUE_ID.fullmatch(principal) is not None
            )
        case "Service":
            return _SERVICE.fullmatch(principal) is not None
        case "Federated":
            return _FEDERATED.fullmatch(principal) is not None
        case _:
            return _CANONICAL.fullmatch(principal) is not None


_ORDER: tuple[Check, ...] = (
    _check_principal_presence,
    _check_version,
    _check_effect,
    _check_sids,
    _check_actions_present,
    _check_resources_present,
    _check_resources,
    _check_actions,
    _check_principals,
)
_TRUST_ORDER: tuple[Check, ...] = (
    _check_no_resources,
    _check_principal_presence,
    _check_effect,
    _check_sids,
    _check_actions_present,
    _check_trust_actions,
    _check_actions,
    _check_principals,
)
