"""The inline policies of users, groups and roles, by name. One quota bounds all of a holder's."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError
from outcrop.services.iam.attachments import Holder
from outcrop.services.iam.documents import encoded, size_of
from outcrop.services.iam.refusals import Noun
from outcrop.stores.iam_records import GroupRecord, RoleRecord, UserRecord
from outcrop.stores.resources import Item

QUOTA_CHARACTERS: Mapping[Noun, int] = {"user": 2048, "group": 5120, "role": 10_240}
"""White space does not count."""


def with_policy(
    noun: Noun, holder: Holder, params: Mapping[str, Any], holder_name: str
) -> dict[str, str]:
    """``params`` are those of ``PutUserPolicy`` or its like."""
    inline = {**holder.inline, params["PolicyName"]: params["PolicyDocument"]}
    quota = QUOTA_CHARACTERS[noun]
    if sum(map(size_of, inline.values())) > quota:
        raise ServiceError(
            "LimitExceeded",
            f"Maximum policy size of {quota} bytes exceeded for {noun} {holder_name}",
        )
    return inline


def without_policy(noun: Noun, holder: Holder, name: str) -> dict[str, str]:
    if name not in holder.inline:
        raise _no_such_policy(noun, name)
    return {each: text for each, text in holder.inline.items() if each != name}


def render_policy(
    noun: Noun, holder: Item[UserRecord] | Item[GroupRecord] | Item[RoleRecord], name: str
) -> dict[str, str]:
    text = holder.record.inline.get(name)
    if text is None:
        raise _no_such_policy(noun, name)
    return {
        f"{noun.capitalize()}Name": holder.name,
        "PolicyName": name,
        "PolicyDocument": encoded(text),
    }


def _no_such_policy(noun: Noun, name: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The {noun} policy with name {name} cannot be found.")
