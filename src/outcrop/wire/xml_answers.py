"""Answers of the protocols that speak XML: query, ec2, and the bodies of rest-xml.

<ListUsersResponse xmlns="…">          query; ec2 has no result element, and requestId in front
  <ListUsersResult>…</ListUsersResult>
  <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
</ListUsersResponse>
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, cast

from outcrop.errors import AWSError
from outcrop.wire import xml
from outcrop.wire.faults import Fault
from outcrop.wire.http import Response
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, Service
from outcrop.wire.xml_shapes import write_members, write_value

TEXT_XML = "text/xml"
EC2_XML = "text/xml;charset=UTF-8"
REQUEST_ID = "x-amzn-RequestId"


def serialize_query(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    members = list(write_members(operation.output, result))
    wrapper = operation.result_wrapper
    content = [xml.write(wrapper, members)] if wrapper else members
    content.append(xml.write("ResponseMetadata", [_leaf("RequestId", request_id)]))
    body = xml.write(f"{operation.name}Response", content, _namespace(operation.service))
    return Response(200, _headers(TEXT_XML, request_id), body.encode())


def serialize_ec2(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    members = list(write_members(operation.output, result, "item"))
    if operation.output is None:
        members.append(_leaf("return", "true"))
    content = [_leaf("requestId", request_id), *members]
    body = xml.write(f"{operation.name}Response", content, _namespace(operation.service))
    return Response(200, _headers(EC2_XML, request_id), (xml.DECLARATION + body).encode())


def query_error(
    fault: Fault,
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
) -> Response:
    content = [
        _leaf("Type", "Sender" if fault.is_senders else "Receiver"),
        _leaf("Code", fault.code),
        _leaf("Message", fault.message),
        *_further(error, operation),
    ]
    inner = [xml.write("Error", content), _leaf("RequestId", request_id)]
    body = xml.write("ErrorResponse", inner, _namespace(service) if service else {})
    return Response(fault.status, _headers(TEXT_XML, request_id), body.encode())


def ec2_error(
    fault: Fault,
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
) -> Response:
    content = [_leaf("Code", fault.code), _leaf("Message", fault.message)]
    content.extend(_further(error, operation))
    errors = xml.write("Errors", [xml.write("Error", content)])
    body = xml.write("Response", [errors, _leaf("RequestID", request_id)])
    encoded = (xml.DECLARATION + body).encode()
    return Response(fault.status, _headers(EC2_XML, request_id), encoded)


def rest_xml_error(
    fault: Fault,
    error: AWSError,
    operation: Operation | None,
    service: Service | None,
    request_id: str,
) -> Response:
    """An object store has the error alone, with the names of the request inside."""
    if service is not None and not service.is_object_store:
        return query_error(fault, error, operation, service, request_id)
    headers = rest_xml_ids(service, request_id)
    content = [
        _leaf("Code", fault.code),
        _leaf("Message", fault.message),
        *_further(error, operation),
        _leaf("RequestId", request_id),
        _leaf("HostId", headers["x-amz-id-2"]),
    ]
    body = (xml.DECLARATION + xml.write("Error", content)).encode()
    return Response(fault.status, headers | {"Content-Type": "application/xml"}, body)


def rest_xml_ids(service: Service | None, request_id: str) -> dict[str, str]:
    """The headers that name the request; S3 clients show both of theirs in every error."""
    if service is not None and not service.is_object_store:
        return {REQUEST_ID: request_id}
    host_id = blake2b(request_id.encode(), digest_size=24).hexdigest()
    return {"x-amz-request-id": request_id, "x-amz-id-2": host_id}


def rest_xml_body(operation: Operation, result: Mapping[str, Any]) -> bytes:
    """The document that the members of the body make, if any belongs there."""
    layout = operation.output_layout
    if layout.payload is not None:
        value = result.get(layout.payload.name)
        if value is None:
            return b""
        document = "".join(write_value(layout.payload, value, layout.payload.wire_name, "member"))
        return _document(operation, document)
    if not layout.body:
        return b""
    shape = cast(Shape, operation.output)
    root = operation.raw["output"].get("locationName", shape.name)
    if operation.raw["output"].get("isUnwrapped"):
        return _document(operation, "".join(_unwrapped(operation, result, root)))
    held = {name: value for name, value in result.items() if shape.members[name].location == "body"}
    return _document(operation, xml.write(root, write_members(shape, held)))


def _unwrapped(operation: Operation, result: Mapping[str, Any], root: str) -> Iterator[str]:
    """The one member of the body is itself the root."""
    ((name, member),) = operation.output_layout.body.items()
    value = result.get(member.name)
    if value is None:
        yield xml.write(root, ())
    else:
        yield from write_value(member, value, name, "member")


def _document(operation: Operation, text: str) -> bytes:
    uri = operation.service.xml_namespace
    if uri and not text.startswith("<?"):
        # The root is the first element; what it declares itself stays.
        head, mark, rest = text.partition(">")
        is_empty = head.endswith("/")
        head = head.removesuffix("/")
        if " xmlns=" not in head:
            head = f'{head} xmlns="{xml.escape(uri)}"'
        text = f"{head}{'/' if is_empty else ''}{mark}{rest}"
    return (xml.DECLARATION + text).encode()


def _further(error: AWSError, operation: Operation | None) -> Iterator[str]:
    """The members besides the message: as the error's shape says, else as plain texts."""
    declared = operation.errors.get(error.code) if operation else None
    for name, value in error.members.items():
        if declared is not None and name in declared.members:
            yield from write_members(declared, {name: value})
        elif isinstance(value, str):
            yield _leaf(name, value)


def _leaf(name: str, text: str) -> str:
    return xml.write(name, [xml.escape(text)])


def _namespace(service: Service) -> dict[str, str]:
    return {"xmlns": service.xml_namespace} if service.xml_namespace else {}


def _headers(content_type: str, request_id: str) -> dict[str, str]:
    return {REQUEST_ID: request_id, "Content-Type": content_type}
