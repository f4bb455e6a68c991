"""IDs, ARNs and fixed names of IAM: the only place that makes them."""

import secrets
from typing import Final, Literal

ROOT_NAME: Final = "root"
AWS_POLICIES: Final = "arn:aws:iam::aws:policy/"
"""How the ARNs of the policies begin that AWS manages."""

ADMINISTRATOR_ACCESS: Final = f"{AWS_POLICIES}AdministratorAccess"

FULL_ACCESS: Final = "FullAWSAccess"
"""The service control policy that every account begins with."""

Noun = Literal["user", "group", "role", "policy"]

_PREFIXES: Final = {"user": "AIDA", "group": "AGPA", "role": "AROA", "policy": "ANPA"}
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def iam_arn(account: str, noun: Noun, name: str, path: str = "/") -> str:
    return f"arn:aws:iam::{account}:{noun}{path}{name}"


def new_unique_id(noun: Noun) -> str:
    """``AIDA…``: 21 characters, never given twice, so a new user of an old name is another one."""
    return _PREFIXES[noun] + random_base32(17)


def new_access_key_id() -> str:
    return "AKIA" + random_base32(16)


def new_credential_id() -> str:
    return "ACCA" + random_base32(17)


def random_base32(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))
