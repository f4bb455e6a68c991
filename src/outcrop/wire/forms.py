"""Requests of the query and ec2 protocols: one form, whose dotted keys spell a tree.

    Tags.member.1.Key=a      query: a list has a level of its own, a map ``entry.N``
    TagSpecification.1.Tag.1.Key=a   ec2: a list is numbered at once, names begin with a capital

The form is the body of a POST or the query string of a GET.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from outcrop.errors import SerializationException
from outcrop.wire.http import Request
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.spec import Operation
from outcrop.wire.texts import read_text

MAX_FORM_BYTES = 2 * 1024 * 1024
MAX_FIELDS = 20_000
MAX_DEPTH = 32
"""Levels of one key. No request of AWS's models needs half as many."""

_ACTION = re.compile(r"(?:^|&)Action=([A-Za-z0-9]{1,128})(?=&|$)")
_VERSION = re.compile(r"(?:^|&)Version=([0-9-]{1,32})(?=&|$)")
_MAX_INDEX_DIGITS = 6


@dataclass(slots=True)
class _Node:
    text: str | None = None
    children: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])

    def numbered(self) -> list["_Node"]:
        numbers = [key for key in self.children if key.isascii() and key.isdigit()]
        if any(len(key) > _MAX_INDEX_DIGITS for key in numbers):
            raise SerializationException("The index of an item of a list is too large.")
        indices = sorted(map(int, numbers))
        by_index = {int(key): self.children[key] for key in numbers}
        return [by_index[index] for index in dict.fromkeys(indices)]

    def items(self, *names: str) -> "_Node":
        """The child that holds the items of a list or map."""
        return next((self.children[name] for name in names if name in self.children), _Node())


def form_text(request: Request) -> str:
    """The undecoded form, or nothing where the request holds none."""
    if request.method == "GET":
        return request.raw_query
    if request.method != "POST":
        return ""
    if len(request.body) > MAX_FORM_BYTES:
        raise SerializationException(f"A form has at most {MAX_FORM_BYTES} bytes.")
    text = request.body.decode("latin-1")
    return f"{text}&{request.raw_query}" if request.raw_query else text


def find_action(form: str) -> tuple[str, str | None] | None:
    """``Action`` and, where it is there, ``Version``."""
    action, version = _ACTION.search(form), _VERSION.search(form)
    return (action[1], version[1] if version else None) if action else None


def parse_query(operation: Operation, request: Request, labels: Mapping[str, str]) -> Any:
    return _parse(operation, request, _QUERY)


def parse_ec2(operation: Operation, request: Request, labels: Mapping[str, str]) -> Any:
    return _parse(operation, request, _EC2)


def _parse(operation: Operation, request: Request, rules: "_Rules") -> dict[str, Any]:
    tree = _tree(form_text(request))
    return rules.structure(operation.input, tree) if operation.input else {}


def _tree(form: str) -> _Node:
    if form.count("&") >= MAX_FIELDS:
        raise SerializationException(f"A form has at most {MAX_FIELDS} fields.")
    root = _Node()
    for pair in form.split("&"):
        key, _, value = pair.partition("=")
        parts = _unquote(key).split(".", MAX_DEPTH)
        if len(parts) > MAX_DEPTH:
            raise SerializationException("A key of the form has too many levels.")
        node = root
        for part in parts:
            node = node.children.setdefault(part, _Node())
        if node.text is None:
            node.text = _unquote(value)
    return root


def _unquote(text: str) -> str:
    try:
        return unquote_plus(text.encode("latin-1").decode(), errors="strict")
    except UnicodeError as error:
        raise SerializationException("The form is not valid UTF-8.") from error


class _Rules:
    """How the query protocol names things."""

    def structure(self, shape: Shape, node: _Node) -> dict[str, Any]:
        found = ((member, self._find(member, node)) for member in shape.members.values())
        values = ((member, self._value(member, child)) for member, child in found if child)
        return {member.name: value for member, value in values if value is not None}

    def _find(self, member: Member, node: _Node) -> _Node | None:
        # A flattened list goes by the name of its items, where they have one.
        is_flat_list = member.is_flattened and member.shape.type == "list"
        item_name = member.shape.item.location_name if is_flat_list else None
        return node.children.get(item_name or member.form_name or member.wire_name)

    def _value(self, member: Member, node: _Node) -> Any:
        kind = member.shape.type
        if kind == "structure":
            return self.structure(member.shape, node) if node.children else None
        if kind == "list":
            return self._list(member, node)
        if kind == "map":
            return self._map(member, node)
        return None if node.text is None else read_text(member, node.text, "iso8601")

    def _list(self, member: Member, node: _Node) -> Any:
        item = member.shape.item
        if not member.is_flattened and node.children:
            node = node.items(item.location_name or "member", "member")
        return self._items(item, node)

    def _items(self, item: Member, node: _Node) -> Any:
        numbered = node.numbered()
        # "Tags=" alone is the empty list.
        if not numbered and node.text != "":
            return None
        return _present(self._value(item, one) for one in numbered)

    def _map(self, member: Member, node: _Node) -> Any:
        if not member.is_flattened:
            node = node.items("entry")
        key, value = member.shape.members["key"], member.shape.members["value"]
        entries: dict[str, Any] = {}
        for one in node.numbered():
            name = one.children.get(key.location_name or "key")
            held = one.children.get(value.location_name or "value")
            if name is None or name.text is None:
                raise SerializationException("An entry of a map has no key.")
            entries[name.text] = None if held is None else self._value(value, held)
        return entries or None


class _Ec2Rules(_Rules):
    def _find(self, member: Member, node: _Node) -> _Node | None:
        return node.children.get(member.ec2_name)

    def _list(self, member: Member, node: _Node) -> Any:
        return self._items(member.shape.item, node)


def _present(values: Iterable[Any]) -> list[Any]:
    # A structure none of whose fields are known is an item still.
    return [{} if value is None else value for value in values]


_QUERY = _Rules()
_EC2 = _Ec2Rules()
