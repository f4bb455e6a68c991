"""Reading members of a Claude messages body. Faults are told as the provider tells them, by path:
``messages.0.content.1.text.text: Field required``."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from outcrop.errors import ValidationException


def refuse(path: str, text: str) -> NoReturn:
    raise ValidationException(f"{path}: {text}")


def field(members: Mapping[str, Any], name: str, kind: type, path: str) -> Any:
    """A required member of a type, told as missing or wrong by its path."""
    if name not in members:
        refuse(f"{path}.{name}", "Field required")
    value = members[name]
    if not isinstance(value, kind):
        wanted = {str: "string", dict: "dictionary", list: "list", int: "integer"}[kind]
        refuse(f"{path}.{name}", f"Input should be a valid {wanted}")
    return value


def close(members: Mapping[str, Any], allowed: Iterable[str], path: str) -> None:
    for name in members:
        if name not in allowed:
            refuse(f"{path}.{name[:200]}", "Extra inputs are not permitted")


def as_object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        refuse(path, "Input should be an object")
    return cast("dict[str, Any]", value)


def tag(kind: Any, known: Iterable[str], path: str) -> str:
    """A value of ``type`` that must be one of ``known``."""
    if kind not in known:
        told = ", ".join(f"'{name}'" for name in known)
        refuse(
            path,
            f"Input tag '{str(kind)[:200]}' found using 'type' does not match any of the expected "
            f"tags: {told}",
        )
    return str(kind)
