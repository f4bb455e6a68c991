"""Policy documents on their way in and out: read before they are kept, percent-encoded when sent.

Quotas count the characters that are no white space.
"""

from typing import Final
from urllib.parse import quote

from outcrop.authorization.compiled import read_policy
from outcrop.errors import ServiceError
from outcrop.security.policy.document import Kind, MalformedPolicy, Policy

MANAGED_POLICY_CHARACTERS: Final = 6144
TRUST_POLICY_CHARACTERS: Final = 2048

_MOST_BYTES: Final = 20_480
"""Of any document, its white space included."""


def checked(text: str, kind: Kind) -> Policy:
    """Raises MalformedPolicyDocument with the reason."""
    try:
        return read_policy(text, kind, _MOST_BYTES)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocument", str(error)) from error


def check_managed(text: str) -> None:
    checked(text, "identity")
    if size_of(text) > MANAGED_POLICY_CHARACTERS:
        raise limit_exceeded("PolicySize", MANAGED_POLICY_CHARACTERS)


def encoded(text: str) -> str:
    """As IAM sends documents: every character outside RFC 3986's unreserved ones is escaped."""
    return quote(text, safe="")


def size_of(text: str) -> int:
    return sum(len(part) for part in text.split())


def limit_exceeded(quota: str, limit: int) -> ServiceError:
    return ServiceError("LimitExceeded", f"Cannot exceed quota for {quota}: {limit}")
