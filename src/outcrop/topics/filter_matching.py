"""Whether a message passes a subscription's filter policy: by its attributes, or by its body."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from outcrop.topics.filter_patterns import Value
from outcrop.topics.filter_policies import Fields
from outcrop.topics.messages import Attribute

_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def attributes_pass(fields: Fields, attributes: Mapping[str, Attribute]) -> bool:
    """Arrays that are nested too deeply to be looked through pass no policy."""
    try:
        return _passes(fields, {name: _value(each) for name, each in attributes.items()})
    except RecursionError:
        return False


def body_passes(fields: Fields, body: str) -> bool:
    """A body that is no JSON object, or one of too many levels, passes no policy."""
    try:
        decoded: Any = _DECODER.decode(body)
        return isinstance(decoded, dict) and _passes(fields, cast("dict[str, Any]", decoded))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _value(attribute: Attribute) -> Any:
    kind = attribute.type.partition(".")[0]
    if kind == "Number":
        return Decimal(attribute.text or "0")
    if kind == "Binary":
        # Only that it is there counts.
        return attribute.binary
    if attribute.type == "String.Array":
        try:
            return _DECODER.decode(attribute.text or "")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return attribute.text
    return attribute.text


def _passes(fields: Fields, held: Mapping[str, Any]) -> bool:
    for name, wanted in fields.members.items():
        if isinstance(wanted, Fields):
            if not any(_passes(wanted, each) for each in _objects(held.get(name))):
                return False
        else:
            values = list(_values(held, name))
            if not any(pattern.fits(values) for pattern in wanted):
                return False
    return all(any(_passes(each, held) for each in choice) for choice in fields.choices)


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    """Nothing there is like an empty object: patterns may want a field not to exist."""
    found = [cast("dict[str, Any]", each) for each in _flat(value) if isinstance(each, dict)]
    return found or [{}]


def _values(held: Mapping[str, Any], name: str) -> Iterator[Value]:
    if name not in held:
        return
    for each in _flat(held[name]):
        if isinstance(each, int | float) and not isinstance(each, bool):
            yield Decimal(each)
        elif not isinstance(each, dict):
            yield each


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _flat(each)
    else:
        yield value
