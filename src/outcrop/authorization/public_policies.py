"""Is a bucket policy public? It is if it allows everybody something, on no fixed condition.

The conditions that S3 counts, and what it counts as fixed, are those of its guide ("The meaning of
public").
"""

from typing import Any, Final, cast

import msgspec

_NARROWING: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
_OPERATORS: Final = frozenset(
    {"arnequals", "arnlike", "ipaddress", "stringequals", "stringequalsignorecase", "stringlike"}
)
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0/0", "::/0"})


def is_public(policy: str) -> bool:
    """``policy`` was accepted as a bucket policy."""
    document: Any = msgspec.json.decode(policy)
    return any(_opens(statement) for statement in listed(document["Statement"]))


def listed(value: Any) -> list[Any]:
    """A policy's lists of one may be written as the one."""
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _opens(statement: dict[str, Any]) -> bool:
    if statement["Effect"] != "Allow":
        return False
    principal: Any = statement.get("Principal", "*")
    named: Any = principal
    if isinstance(principal, dict):
        named = cast("dict[str, Any]", principal).get("AWS", [])
    if "NotPrincipal" not in statement and not any("*" in str(one) for one in listed(named)):
        return False
    return not any(
        operator.lower() in _OPERATORS and key.lower() in _NARROWING and _is_fixed(values)
        for operator, tests in statement.get("Condition", {}).items()
        for key, values in tests.items()
    )


def _is_fixed(values: Any) -> bool:
    """An ARN may end in a wildcard, once its account is named."""
    return all(_names_some(str(value)) for value in listed(values))


def _names_some(value: str) -> bool:
    if value in _EVERY_ADDRESS or "${" in value:
        return False
    if value.startswith("arn:"):
        account_on = value.split(":", 4)[-1]
        return "*" not in account_on.split(":")[0] and not account_on.startswith("*")
    return "*" not in value and "?" not in value
