"""Services and operations as botocore's models describe them, with our patches merged in.

An operation is compiled on first use. No route, name or status is written by hand anywhere else;
``spec_patches.json`` holds the deviations, each with its evidence.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, cast

import msgspec
from botocore import xform_name

from outcrop.wire.documents import Model, UnknownDocument, load_document, load_model
from outcrop.wire.shapes import Location, Member, Raw, Shape, ShapeTable

NO_AUTH = "smithy.api#noAuth"
BEARER_AUTH = "smithy.api#httpBearerAuth"


@dataclass(frozen=True, slots=True)
class Pagination:
    """``more_key`` is the member that says whether a next page is there, in older services."""

    input_token: str
    output_token: str
    limit_key: str | None
    result_key: str
    more_key: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the members of a structure travel. ``payload`` is the member that is the whole body;
    without one, ``body`` are the members of the body's JSON object."""

    uri: tuple[Member, ...] = ()
    query: tuple[Member, ...] = ()
    headers: tuple[Member, ...] = ()
    prefix_headers: tuple[Member, ...] = ()
    status: Member | None = None
    payload: Member | None = None
    body: Mapping[str, Member] = field(default_factory=dict[str, Member])
    headers_by_lower_name: tuple[tuple[str, Member], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Operation:
    """``uri`` is the template of path and query literals; ``handler_name`` the name in snake
    case."""

    service: "Service"
    name: str
    handler_name: str
    method: str
    uri: str
    success_status: int
    auth_types: tuple[str, ...]
    pagination: Pagination | None
    raw: Raw

    @cached_property
    def input(self) -> Shape | None:
        return self._shape("input")

    @cached_property
    def output(self) -> Shape | None:
        return self._shape("output")

    @cached_property
    def input_layout(self) -> Layout:
        return _layout(self.input)

    @cached_property
    def output_layout(self) -> Layout:
        return _layout(self.output)

    @cached_property
    def errors(self) -> Mapping[str, Shape]:
        """The declared errors by code and by name, which differ in older services; status and
        members are in the shape."""
        shapes = [self.service.shapes.get(error["shape"]) for error in self.raw.get("errors", ())]
        by_name = {shape.name: shape for shape in shapes}
        return by_name | {cast(str, shape.error_code): shape for shape in shapes}

    @property
    def result_wrapper(self) -> str | None:
        """The element around the members of an answer of the query protocol."""
        return self.raw.get("output", {}).get("resultWrapper")

    @cached_property
    def takes_stream(self) -> bool:
        """The body is a blob of any size, which is never held whole."""
        reference = self.raw.get("input")
        return reference is not None and self.service.shapes.has_streaming_payload(
            reference["shape"]
        )

    @cached_property
    def event_stream(self) -> Member | None:
        """The output member that is a stream of events."""
        return _event_stream(self.output)

    @cached_property
    def input_event_stream(self) -> Member | None:
        return _event_stream(self.input)

    @cached_property
    def idempotency_token(self) -> str | None:
        members = self.input.members.values() if self.input else ()
        return next((member.name for member in members if member.is_idempotency_token), None)

    @property
    def accepts_bearer(self) -> bool:
        return BEARER_AUTH in self.auth_types

    @property
    def is_anonymous(self) -> bool:
        """Clients send it unsigned: what it carries proves who calls."""
        return self.auth_types == (NO_AUTH,)

    def _shape(self, side: str) -> Shape | None:
        reference = self.raw.get(side)
        return self.service.shapes.get(reference["shape"]) if reference else None


@dataclass(frozen=True, eq=False, repr=False)
class Service:
    """``protocols`` are all the service speaks, the one its model prefers first.
    ``error_statuses`` are those of every error of the service, by code. ``pads_events``: JSON
    events carry a member of random length that hides their size. ``error_namespace`` is before the
    names of its own errors, where the service says it in JSON. ``is_query_compatible``: clients of
    the service's older query protocol know its errors by other codes. ``is_object_store``: it
    signs, names hosts and words errors as S3 does."""

    name: str
    endpoint_prefix: str
    signing_name: str
    protocol: str
    namespace: str
    pads_events: bool
    shapes: ShapeTable
    error_statuses: Mapping[str, int]
    protocols: tuple[str, ...]
    target_prefix: str | None
    json_version: str
    api_version: str
    xml_namespace: str | None
    error_namespace: str | None
    is_query_compatible: bool
    is_object_store: bool
    operations: Mapping[str, Operation] = field(default_factory=dict[str, Operation])


class UnknownService(Exception):
    """No service model of that name ships with botocore."""


@cache
def load_service(name: str) -> Service:
    """The service of that name, as in botocore's data folder."""
    try:
        model = load_model(name)
        pages = load_document(name, "paginators-1")
    except UnknownDocument as error:
        raise UnknownService(name) from error
    for patch in patches(name):
        model.merge(patch["merge"])
    return _service(name, model, pages["pagination"])


def patches(service_name: str) -> list[dict[str, Any]]:
    """The deviations from a service's model: ``evidence`` and ``merge`` (null deletes)."""
    text = files("outcrop.wire").joinpath("spec_patches.json").read_bytes()
    listed = cast(list[dict[str, Any]], msgspec.json.decode(text)["patches"])
    return [patch for patch in listed if patch["service"] == service_name]


def _service(name: str, model: Model, pages: Mapping[str, Raw]) -> Service:
    metadata = model.metadata
    signing_name = metadata.get("signingName", metadata["endpointPrefix"])
    shapes = ShapeTable(model.shapes)
    operations = _Operations()
    service = Service(
        name=name,
        endpoint_prefix=metadata["endpointPrefix"],
        signing_name=signing_name,
        protocol=metadata["protocol"],
        namespace=f"com.amazon.{signing_name}",
        pads_events=bool(metadata.get("padsEvents")),
        shapes=shapes,
        error_statuses=shapes.error_facts(),
        protocols=_protocols(metadata),
        target_prefix=metadata.get("targetPrefix"),
        json_version=metadata.get("jsonVersion", "1.1"),
        api_version=metadata["apiVersion"],
        xml_namespace=metadata.get("xmlNamespace"),
        error_namespace=metadata.get("errorNamespace"),
        is_query_compatible="awsQueryCompatible" in metadata,
        is_object_store=metadata.get("signatureVersion") == "s3",
        operations=operations,
    )
    auth = metadata.get("auth", ())
    operations.fill(
        model.operations,
        lambda key: _operation(service, key, model.operations[key], auth, pages.get(key)),
    )
    return service


class _Operations(Mapping[str, Operation]):
    """By name, in alphabetical order; each is made when it is asked for. Of most services few ever
    are, and EC2 has eight hundred."""

    def __init__(self) -> None:
        self._made: dict[str, Operation | None] = {}
        self._make: Callable[[str], Operation] | None = None

    def fill(self, names: Iterable[str], make: Callable[[str], Operation]) -> None:
        self._made = dict.fromkeys(sorted(names))
        self._make = make

    def __getitem__(self, name: str) -> Operation:
        operation = self._made[name]
        if operation is None and self._make is not None:
            operation = self._made[name] = self._make(name)
        return cast(Operation, operation)

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _protocols(metadata: Raw) -> tuple[str, ...]:
    listed = [metadata["protocol"], *metadata.get("protocols", ())]
    # What the models of today leave out, clients of earlier ones still send.
    if "targetPrefix" in metadata:
        listed.append("json")
    if "awsQueryCompatible" in metadata:
        listed.append("query")
    return tuple(dict.fromkeys(listed))


def _operation(
    service: Service, name: str, raw: Raw, auth: Iterable[str], pages: Raw | None
) -> Operation:
    http = raw.get("http", {})
    return Operation(
        service=service,
        name=name,
        handler_name=xform_name(name),
        method=http.get("method", "POST"),
        uri=http.get("requestUri", "/"),
        success_status=http.get("responseCode", 200),
        auth_types=tuple(raw.get("auth", auth)),
        pagination=_pagination(pages) if pages else None,
        raw=raw,
    )


def _pagination(raw: Raw) -> Pagination | None:
    facts = (raw["input_token"], raw["output_token"], raw["result_key"])
    # Several tokens or results, or one inside a structure, are not pages of one list.
    if not all(isinstance(fact, str) and "." not in fact for fact in facts):
        return None
    return Pagination(
        raw["input_token"],
        raw["output_token"],
        raw.get("limit_key"),
        facts[2],
        raw.get("more_results"),
    )


def _layout(shape: Shape | None) -> Layout:
    if shape is None:
        return Layout()
    members = shape.members.values()

    def at(location: Location) -> tuple[Member, ...]:
        return tuple(member for member in members if member.location == location)

    payload = shape.members[shape.payload] if shape.payload else None
    body = {m.wire_name: m for m in members if m.location == "body"} if payload is None else {}
    return Layout(
        uri=at("uri"),
        query=at("querystring"),
        headers=at("header"),
        prefix_headers=at("headers"),
        status=next(iter(at("statusCode")), None),
        payload=payload,
        body=body,
        headers_by_lower_name=tuple((m.wire_name.lower(), m) for m in at("header")),
    )


def _event_stream(shape: Shape | None) -> Member | None:
    members = shape.members.values() if shape else ()
    return next((member for member in members if member.shape.is_event_stream), None)
