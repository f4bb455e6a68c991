"""What can be wrong with a policy document, and the sentence in which each service says so.

A flaw without a sentence of its own gets the kind's general one. IAM's texts and S3's first one
are recorded or quoted by users of the real services; those of keys and endpoints partly our own.
"""

from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "identity",
    "boundary",
    "session",
    "resource",
    "trust",
    "service-control",
    "endpoint",
    "key",
    "bucket",
]

Name = Literal[
    "not-json",
    "first-byte",
    "syntax",
    "unknown-field",
    "missing-field",
    "prohibited-field",
    "empty",
    "version",
    "effect",
    "values",
    "legacy-resource",
    "duplicate-sid",
    "sid",
    "no-actions",
    "no-resources",
    "resource",
    "action",
    "trust-action",
    "principal-present",
    "principal",
]


class Flaw(Exception):
    """``details`` fill the sentence; ``text`` is the whole of it where the check knows it."""

    def __init__(self, name: Name, text: str | None = None, **details: str) -> None:
        super().__init__(name)
        self.name: Name = name
        self.text = text
        self.details = details


_GENERAL = ""
_UNIQUE = "Statement IDs (SID) in a single policy must be unique."

_IAM: dict[str, str] = {
    _GENERAL: "Syntax errors in policy.",
    "version": "Policy document must be version 2012-10-17 or greater.",
    "effect": "The policy failed legacy parsing",
    "values": "The policy failed legacy parsing",
    "legacy-resource": "The policy failed legacy parsing",
    "duplicate-sid": _UNIQUE,
    "sid": "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the "
    "regular expression [0-9A-Za-z]*",
    "no-actions": "Policy statement must contain actions.",
    "no-resources": "Policy statement must contain resources.",
    "principal-present": "Policy document should not specify a principal.",
}
# Trust and bucket policies pass through one parser.
_NAMED_FIELDS: dict[str, str] = {
    "not-json": "This policy contains invalid Json",
    _GENERAL: "Syntax errors in policy.",
    "unknown-field": "Unknown field {field}",
    "missing-field": "Missing required field {field}",
    "prohibited-field": "Has prohibited field {field}",
    "empty": "Could not parse the policy: Statement is empty!",
    "version": "The policy must contain a valid version string",
    "effect": "Invalid effect: {effect}",
    "duplicate-sid": _UNIQUE,
    "no-actions": "Missing required field Action",
    "no-resources": "Missing required field Resource",
}
_TRUST = _NAMED_FIELDS | {
    "values": "The policy failed legacy parsing",
    "trust-action": "AssumeRole policy may only specify STS AssumeRole actions.",
    "principal": 'Invalid principal in policy: "{type}":"{principal}"',
}
_BUCKET = _NAMED_FIELDS | {
    _GENERAL: "This policy contains invalid Json",
    "first-byte": "Policies must be valid JSON and the first byte must be '{{'",
    "values": "Policy has an invalid condition key",
    "action": "Policy has invalid action",
    "resource": "Policy has invalid resource",
    "legacy-resource": "Policy has invalid resource",
    "principal": "Invalid principal in policy",
}
_KEY = _NAMED_FIELDS | {
    _GENERAL: "Policy contains a syntax error.",
    "not-json": "Policy contains a syntax error.",
    "principal": "Policy contains a statement with one or more invalid principals.",
    "missing-field": "Policy contains a statement with no {field}.",
    "no-actions": "Policy contains a statement with no Action.",
    "no-resources": "Policy contains a statement with no Resource.",
}
_RESOURCE = {
    _GENERAL: "This resource policy contains a syntax error.",
    "principal": "This resource policy contains an unsupported principal.",
}
_SERVICE_CONTROL = {
    _GENERAL: "The provided policy document does not meet the requirements of the specified "
    "policy type.",
}
_ENDPOINT = _NAMED_FIELDS | {
    _GENERAL: "Invalid policy document",
    "not-json": "Invalid policy document",
    "principal": "Invalid principal in policy",
}

_TEXTS: Mapping[Kind, Mapping[str, str]] = {
    "identity": _IAM,
    "boundary": _IAM,
    "session": _IAM,
    "trust": _TRUST,
    "bucket": _BUCKET,
    "key": _KEY,
    "resource": _RESOURCE,
    "service-control": _SERVICE_CONTROL,
    "endpoint": _ENDPOINT,
}
# What a check of these kinds found out in detail is said in IAM's words.
_DETAILED: frozenset[Kind] = frozenset({"identity", "boundary", "session", "trust"})


def render_flaw(flaw: Flaw, kind: Kind) -> str:
    if flaw.text and kind in _DETAILED:
        return flaw.text
    texts = _TEXTS[kind]
    return texts.get(flaw.name, texts[_GENERAL]).format(**flaw.details)
