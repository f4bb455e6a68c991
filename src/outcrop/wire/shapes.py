"""The shapes of one service model, compiled on first use into small immutable objects.

Shapes may contain themselves, so ``members`` is filled right after a shape is made and never again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from outcrop.wire.documents import Parts

Location = Literal["body", "header", "headers", "uri", "querystring", "statusCode"]
Raw = Mapping[str, Any]
NESTED = frozenset(("structure", "list", "map"))
_CONSTRAINTS = ("min", "max", "pattern")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shape:
    """``members`` holds a structure's members by name, a list's one as ``member``, a map's two as
    ``key`` and ``value``; ``wire_members`` are the same by wire name. ``minimum`` and ``maximum``
    bound a length or a value, by type. ``is_constrained``: something can be wrong with a value of
    this shape itself, its members aside."""

    name: str
    type: str
    members: dict[str, "Member"] = field(default_factory=dict[str, "Member"])
    wire_members: dict[str, "Member"] = field(default_factory=dict[str, "Member"])
    required: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    sensitive: bool = False
    is_union: bool = False
    is_document: bool = False
    is_event_stream: bool = False
    is_exception: bool = False
    payload: str | None = None
    timestamp_format: str | None = None
    error_code: str | None = None
    error_status: int | None = None
    is_constrained: bool = False

    @property
    def item(self) -> "Member":
        """The member of a list."""
        return self.members["member"]

    @property
    def is_shown(self) -> bool:
        """A refusal may show a value of this shape: no secrets in it, and nothing nested."""
        parts = self.members.values() if self.type in ("list", "map") else ()
        return (
            self.type != "structure"
            and not self.sensitive
            and all(part.shape.type not in NESTED and part.shape.is_shown for part in parts)
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Member:
    """``name`` is the key in parameters and results; ``wire_name`` the one in JSON, XML, a form, a
    header, the query or the path's template; ``location_name`` the same where the model gives one.
    ``form_name`` is what the query protocol has instead, in forms and in XML. ``xml_namespace`` is
    prefix and URI."""

    name: str
    wire_name: str
    shape: Shape
    location: Location = "body"
    timestamp_format: str | None = None
    is_json_value: bool = False
    is_idempotency_token: bool = False
    is_event_payload: bool = False
    location_name: str | None = None
    query_name: str | None = None
    form_name: str | None = None
    is_flattened: bool = False
    is_streaming: bool = False
    is_xml_attribute: bool = False
    xml_namespace: tuple[str | None, str] | None = None

    @property
    def ec2_name(self) -> str:
        """The key in a form of the ec2 protocol, whose names always begin with a capital."""
        if self.query_name or not self.location_name:
            return self.query_name or self.name
        return self.location_name[0].upper() + self.location_name[1:]


class ShapeTable:
    """Compiles the raw shapes of one service model by name, each once."""

    def __init__(self, raw_shapes: Parts) -> None:
        self._raw = raw_shapes
        self._compiled: dict[str, Shape] = {}

    def get(self, name: str) -> Shape:
        shape = self._compiled.get(name)
        if shape is None:
            raw = self._raw[name]
            shape = self._compiled[name] = _shape(name, raw)
            for key, reference in _references(raw):
                member = shape.members[key] = self._member(key, reference)
                shape.wire_members[member.wire_name] = member
        return shape

    def has_streaming_payload(self, name: str) -> bool:
        """Without compiling anything: it is asked of every operation when a server starts."""
        raw = self._raw[name]
        if "payload" not in raw:
            return False
        reference = raw["members"][raw["payload"]]
        own = self._raw[reference["shape"]]
        return bool(reference.get("streaming", own.get("streaming")))

    def error_facts(self) -> dict[str, int]:
        """The status of every exception, by its code and by the name of its shape, without
        compiling anything."""
        raws = {name: self._raw[name] for name in self._raw.mentioning("exception")}
        facts = {name: _error_status(raw) for name, raw in raws.items() if raw.get("exception")}
        return facts | {_error_code(name, self._raw[name]): facts[name] for name in facts}

    def _member(self, name: str, reference: Raw) -> Member:
        shape = self.get(reference["shape"])
        own = self._raw[reference["shape"]]
        location_name = reference.get("locationName", own.get("locationName"))
        return Member(
            name=name,
            wire_name=location_name or name,
            shape=shape,
            location=cast(Location, reference.get("location", "body")),
            timestamp_format=reference.get("timestampFormat", shape.timestamp_format),
            is_json_value=bool(reference.get("jsonvalue")),
            is_idempotency_token=bool(reference.get("idempotencyToken")),
            is_event_payload=bool(reference.get("eventpayload")),
            location_name=location_name,
            query_name=reference.get("queryName"),
            form_name=reference.get("formName"),
            is_flattened=bool(reference.get("flattened", own.get("flattened"))),
            is_streaming=bool(reference.get("streaming", own.get("streaming"))),
            is_xml_attribute=bool(reference.get("xmlAttribute")),
            xml_namespace=_xml_namespace(reference.get("xmlNamespace", own.get("xmlNamespace"))),
        )


def _shape(name: str, raw: Raw) -> Shape:
    is_exception = bool(raw.get("exception"))
    return Shape(
        name=name,
        type=raw["type"],
        required=tuple(raw.get("required", ())),
        enum=tuple(raw.get("enum", ())),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        pattern=raw.get("pattern"),
        sensitive=bool(raw.get("sensitive")),
        is_union=bool(raw.get("union")),
        is_document=bool(raw.get("document")),
        is_event_stream=bool(raw.get("eventstream")),
        is_exception=is_exception,
        payload=raw.get("payload"),
        timestamp_format=raw.get("timestampFormat"),
        error_code=_error_code(name, raw) if is_exception else None,
        error_status=_error_status(raw) if is_exception else None,
        is_constrained=_is_constrained(raw),
    )


def _is_constrained(raw: Raw) -> bool:
    return bool(raw.get("enum")) or any(raw.get(rule) is not None for rule in _CONSTRAINTS)


def _references(raw: Raw) -> list[tuple[str, Raw]]:
    if raw["type"] == "structure":
        return list(raw.get("members", {}).items())
    keys = {"list": ("member",), "map": ("key", "value")}.get(raw["type"], ())
    return [(key, raw[key]) for key in keys]


def _xml_namespace(raw: Any) -> tuple[str | None, str] | None:
    if raw is None:
        return None
    return (None, raw) if isinstance(raw, str) else (raw.get("prefix"), raw["uri"])


def _error_code(name: str, raw: Raw) -> str:
    return raw.get("error", {}).get("code", name)


def _error_status(raw: Raw) -> int:
    return raw.get("error", {}).get("httpStatusCode", 500 if raw.get("fault") else 400)
