"""What becomes of policies and grants that name a user or role which is deleted or renamed.

AWS keeps principals by their unique ID: a deleted one's ARN becomes that ID, so that nobody who
takes the name later takes the place; a renamed one stays named (IAM's reference of Principal).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import msgspec
from msgspec import structs

from outcrop.services.call import Call
from outcrop.stores.bucket_records import Bucket
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.kms_records import KmsKey
from outcrop.stores.resources import Record, Transaction
from outcrop.stores.secret_records import Secret

_POLICIES: tuple[tuple[type[Record], str], ...] = (
    (RoleRecord, "trust"),
    (KmsKey, "policy"),
    (Secret, "policy"),
    (Bucket, "policy"),
)


async def rename_principal(transaction: Transaction, call: Call, arn: str, becomes: str) -> None:
    """``becomes`` is a unique ID, or the new ARN."""
    for kind, member in _POLICIES:
        for item in await transaction.list(kind):
            text: str | None = getattr(item.record, member)
            changed = text and _renamed(text, arn, becomes)
            if changed:
                record = structs.replace(item.record, **{member: changed})
                await transaction.put(replace(item, record=record))
    await call.stores.keyring.ready()
    for grant in call.stores.keyring.grants():
        if arn in (grant.record.grantee, grant.record.retiring):
            grantee = becomes if grant.record.grantee == arn else grant.record.grantee
            retiring = becomes if grant.record.retiring == arn else grant.record.retiring
            record = structs.replace(grant.record, grantee=grantee, retiring=retiring)
            await transaction.put(replace(grant, record=record))


def _renamed(text: str, arn: str, becomes: str) -> str | None:
    """None where the policy does not name the principal."""
    # An escaped text may spell the ARN in other characters.
    if arn not in text and "\\" not in text:
        return None
    document = msgspec.json.decode(text)
    statements = document["Statement"]
    listed = cast("list[Any]", statements if isinstance(statements, list) else [statements])
    found = [
        _rename_in(statement, lambda each: becomes if each == arn else each) for statement in listed
    ]
    return msgspec.json.encode(document).decode() if any(found) else None


def _rename_in(statement: dict[str, Any], rename: Callable[[str], str]) -> bool:
    for element in ("Principal", "NotPrincipal"):
        principals = statement.get(element)
        if not isinstance(principals, dict) or "AWS" not in principals:
            continue
        named = cast("dict[str, Any]", principals)
        before = named["AWS"]
        after = rename(before) if isinstance(before, str) else [rename(each) for each in before]
        if after != before:
            named["AWS"] = after
            return True
    return False
