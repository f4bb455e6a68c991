"""A role as a principal: itself, as the issuer of its sessions, and a session of it."""

from outcrop.identity import Principal
from outcrop.stores.iam_names import iam_arn
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.resources import Item


def role_principal(role: Item[RoleRecord]) -> Principal:
    arn = _arn(role)
    return Principal(role.place.account, role.name, arn, "role", role.record.id, arn)


def role_session_principal(role: Item[RoleRecord], session_name: str) -> Principal:
    """Its ARN leaves the role's path out."""
    account = role.place.account
    return Principal(
        account,
        session_name,
        f"arn:aws:sts::{account}:assumed-role/{role.name}/{session_name}",
        "role",
        f"{role.record.id}:{session_name}",
        _arn(role),
    )


def _arn(role: Item[RoleRecord]) -> str:
    return role.arn or iam_arn(role.place.account, "role", role.name, role.record.path)
