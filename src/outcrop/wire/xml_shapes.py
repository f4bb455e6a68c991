"""Values of shapes as XML elements, both ways: what query, ec2 and rest-xml have in common.

Names are the model's; a list that is not flattened has one element around its items.
"""

import binascii
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from outcrop.errors import SerializationException
from outcrop.wire import timestamps, xml
from outcrop.wire.mismatch import ResultMismatch, mismatch
from outcrop.wire.shapes import Member, Shape
from outcrop.wire.texts import read_text


def read_structure(shape: Shape, element: xml.Element) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for member in shape.members.values():
        if member.location != "body":
            continue
        if member.is_xml_attribute:
            if member.wire_name in element.attributes:
                values[member.name] = element.attributes[member.wire_name]
            continue
        found = element.named(_element_name(member))
        if found:
            values[member.name] = _read(member, found)
    return values


def write_members(
    shape: Shape | None, value: Mapping[str, Any], item_name: str = "member"
) -> Iterator[str]:
    """The elements of a structure's members in the model's order; ``item_name`` is what the
    protocol calls the items of a list where the model is silent."""
    known = shape.members if shape else {}
    unknown = [name for name in value if name not in known]
    if unknown:
        raise ResultMismatch(f"{shape.name if shape else 'No output'} has no member {unknown[0]!r}")
    for name, member in known.items():
        item = value.get(name)
        if item is not None and member.location == "body" and not member.is_xml_attribute:
            yield from write_value(member, item, _element_name(member), item_name)


def write_value(member: Member, value: Any, name: str, item_name: str) -> Iterator[str]:
    kind = member.shape.type
    if kind == "structure":
        yield xml.write(name, *_structure(member, value, item_name))
    elif kind == "list":
        yield from _list(member, value, name, item_name)
    elif kind == "map":
        yield from _map(member, value, name, item_name)
    else:
        yield xml.write(name, [xml.escape(scalar_text(member, value, "iso8601"))])


def scalar_text(member: Member, value: Any, timestamp_format: str) -> str:
    """``timestamp_format`` is what the place means where the model names none."""
    wanted = _SCALARS[member.shape.type]
    is_right = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if not is_right:
        raise mismatch(member, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray):
        return binascii.b2a_base64(value, newline=False).decode()
    if isinstance(value, datetime):
        return str(timestamps.render(value, member.timestamp_format or timestamp_format))
    if isinstance(value, float):
        return _SPECIAL_FLOATS.get(str(value), str(value))
    return str(value)


_SPECIAL_FLOATS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_SCALARS: Mapping[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "blob": (bytes, bytearray),
    "timestamp": datetime,
}


def _element_name(member: Member) -> str:
    # A flattened list goes by the name of its items, where they have one.
    if member.is_flattened and member.shape.type == "list":
        return member.shape.item.location_name or member.wire_name
    return member.form_name or member.wire_name


def _structure(
    member: Member, value: Any, item_name: str
) -> tuple[Iterator[str], Mapping[str, str]]:
    if not isinstance(value, Mapping):
        raise mismatch(member, value)
    held = cast(Mapping[str, Any], value)
    attributes: dict[str, str] = {}
    if member.xml_namespace:
        prefix, uri = member.xml_namespace
        attributes[f"xmlns:{prefix}" if prefix else "xmlns"] = uri
    for one in member.shape.members.values():
        if one.is_xml_attribute and held.get(one.name) is not None:
            attributes[one.wire_name] = scalar_text(one, held[one.name], "iso8601")
    return write_members(member.shape, held, item_name), attributes


def _list(member: Member, value: Any, name: str, item_name: str) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        raise mismatch(member, value)
    item = member.shape.item
    own_name = name if member.is_flattened else item.location_name or item_name
    items = (
        text
        for one in cast(list[Any], value)
        for text in write_value(item, one, own_name, item_name)
    )
    if member.is_flattened:
        yield from items
    else:
        yield xml.write(name, items)


def _map(member: Member, value: Any, name: str, item_name: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        raise mismatch(member, value)
    key, held = member.shape.members["key"], member.shape.members["value"]
    own_name = name if member.is_flattened else "entry"
    entries = (
        xml.write(
            own_name,
            (
                *write_value(key, one, key.location_name or "key", item_name),
                *write_value(held, item, held.location_name or "value", item_name),
            ),
        )
        for one, item in cast(Mapping[str, Any], value).items()
    )
    if member.is_flattened:
        yield from entries
    else:
        yield xml.write(name, entries)


def _read(member: Member, found: list[xml.Element]) -> Any:
    reader = _READERS.get(member.shape.type)
    if reader:
        return reader(member, found)
    if found[0].children:
        raise SerializationException("Start of structure or map found where not expected")
    return read_text(member, found[0].text, "iso8601")


def _read_structure(member: Member, found: list[xml.Element]) -> Any:
    return read_structure(member.shape, found[0])


def _read_list(member: Member, found: list[xml.Element]) -> Any:
    item = member.shape.item
    elements = found
    if not member.is_flattened:
        elements = found[0].named(item.location_name or "member")
    return [_read(item, [one]) for one in elements]


def _read_map(member: Member, found: list[xml.Element]) -> Any:
    key, value = member.shape.members["key"], member.shape.members["value"]
    entries: dict[str, Any] = {}
    for one in found if member.is_flattened else found[0].named("entry"):
        names = one.named(key.location_name or "key")
        values = one.named(value.location_name or "value")
        if not names or not values:
            raise SerializationException("An entry of a map needs a key and a value.")
        entries[names[0].text] = _read(value, values)
    return entries


_READERS: Mapping[str, Callable[[Member, list[xml.Element]], Any]] = {
    "structure": _read_structure,
    "list": _read_list,
    "map": _read_map,
}
