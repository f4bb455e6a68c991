"""What IAM refuses of users, groups and roles alike, in one place each.

Names are told apart without regard to case.
"""

from collections.abc import Iterable
from typing import Any, Literal

from outcrop.errors import ServiceError
from outcrop.stores.resources import Item

Noun = Literal["user", "group", "role"]


def check_free(noun: Noun, name: str, items: Iterable[Item[Any]]) -> None:
    """``items`` are all of the account's."""
    if any(item.name.lower() == name.lower() for item in items):
        raise taken(noun, name)


def taken(noun: Noun, name: str) -> ServiceError:
    return ServiceError(
        "EntityAlreadyExists", f"{noun.capitalize()} with name {name} already exists."
    )


def no_such(noun: Noun, name: str) -> ServiceError:
    return ServiceError("NoSuchEntity", f"The {noun} with name {name} cannot be found.")


def delete_conflict(obstacle: str) -> ServiceError:
    return ServiceError("DeleteConflict", f"Cannot delete entity, must {obstacle} first.")


def check_status(status: str) -> None:
    """Of a key or credential, as a request sets it."""
    # The models have it for what AWS ends by itself.
    if status == "Expired":
        raise ServiceError("InvalidInput", "Status Expired is not a valid status to set.")
