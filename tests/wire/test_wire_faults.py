"""Errors as each protocol's clients know them: codes, statuses, and the bytes around them."""

from typing import Any

import pytest
from botocore.parsers import create_parser

from outcrop import errors
from outcrop.errors import AWSError, ServiceError
from outcrop.wire.faults import fault_of
from outcrop.wire.serialize import serialize_error
from outcrop.wire.spec import load_service

EXPIRED = errors.InvalidSignatureException("Signature expired: 20260101T000000Z is now earlier …")
MISMATCH = errors.InvalidSignatureException("The request signature we calculated does not match")
DENIED = errors.AuthorizationDenied("User: arn is not authorized to perform: x on resource: y")
CODES: list[tuple[str, AWSError, str, int]] = [
    ("iam", MISMATCH, "SignatureDoesNotMatch", 403),
    ("iam", EXPIRED, "SignatureDoesNotMatch", 403),
    ("sts", errors.UnrecognizedClientException("x"), "InvalidClientTokenId", 403),
    ("sts", errors.ExpiredTokenException("x"), "ExpiredToken", 403),
    ("iam", errors.MissingAuthenticationTokenException("x"), "MissingAuthenticationToken", 403),
    ("iam", errors.IncompleteSignatureException("x"), "IncompleteSignature", 403),
    ("iam", DENIED, "AccessDenied", 403),
    ("iam", errors.UnknownOperationException("x"), "InvalidAction", 400),
    ("iam", errors.ValidationException("x"), "ValidationError", 400),
    ("iam", errors.ThrottlingException("x"), "Throttling", 400),
    ("iam", ServiceError("NoSuchEntity", "x"), "NoSuchEntity", 404),
    ("iam", ServiceError("NoSuchEntityException", "x"), "NoSuchEntity", 404),
    ("iam", ServiceError("Own", "x", status=418), "Own", 418),
    ("kms", errors.ValidationException("x"), "ValidationException", 400),
    ("kms", DENIED, "AccessDeniedException", 400),
    ("kms", MISMATCH, "InvalidSignatureException", 400),
    ("ec2", MISMATCH, "AuthFailure", 401),
    ("ec2", EXPIRED, "RequestExpired", 400),
    ("ec2", DENIED, "UnauthorizedOperation", 403),
    ("ec2", errors.UnknownOperationException("x"), "InvalidAction", 400),
    ("ec2", ServiceError("InvalidVpcID.NotFound", "x"), "InvalidVpcID.NotFound", 400),
    ("s3", errors.UnrecognizedClientException("x"), "InvalidAccessKeyId", 403),
    ("s3", MISMATCH, "SignatureDoesNotMatch", 403),
    ("s3", EXPIRED, "RequestTimeTooSkewed", 403),
    ("s3", errors.ExpiredTokenException("x"), "ExpiredToken", 400),
    ("s3", errors.MissingAuthenticationTokenException("x"), "AccessDenied", 403),
    ("s3", DENIED, "AccessDenied", 403),
    ("s3", ServiceError("NoSuchKey", "x", status=404), "NoSuchKey", 404),
    ("s3", errors.ThrottlingException("x"), "SlowDown", 503),
]


@pytest.mark.parametrize(("service", "error", "code", "status"), CODES)
def test_a_service_s_own_words_for_an_error(
    service: str, error: AWSError, code: str, status: int
) -> None:
    known = load_service(service)
    operation = known.operations["GetUser"] if service == "iam" else None
    fault = fault_of(error, operation, known, known.protocol)
    assert (fault.code, fault.status) == (code, status)


def test_a_refusal_of_ec2_still_says_who_and_why() -> None:
    fault = fault_of(DENIED, None, load_service("ec2"), "ec2")
    assert fault.message == f"You are not authorized to perform this operation. {DENIED.message}"


def body_of(service: str, error: AWSError, protocol: str | None = None) -> bytes:
    body = serialize_error(error, None, load_service(service), "the-id", protocol).body
    assert isinstance(body, bytes)
    return body


def test_the_bytes_of_errors() -> None:
    error = ServiceError("NoSuchEntity", "<no>\r\n\0 é")
    assert (
        body_of("iam", error)
        == (
            '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
            "<Type>Sender</Type><Code>NoSuchEntity</Code>"
            "<Message>&lt;no&gt;&#xD;\n\ufffd é</Message></Error>"
            "<RequestId>the-id</RequestId></ErrorResponse>"
        ).encode()
    )
    assert body_of("ec2", ServiceError("InvalidVpcID.NotFound", "No")) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        b"<Code>InvalidVpcID.NotFound</Code><Message>No</Message></Error></Errors>"
        b"<RequestID>the-id</RequestID></Response>"
    )
    store = ServiceError("NoSuchKey", "No", status=404, Key="a&b")
    response = serialize_error(store, None, load_service("s3"), "the-id")
    host_id = response.headers["x-amz-id-2"]
    assert response.headers["x-amz-request-id"] == "the-id"
    assert response.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
        b"<Message>No</Message><Key>a&amp;b</Key><RequestId>the-id</RequestId>"
        b"<HostId>" + host_id.encode() + b"</HostId></Error>"
    )
    assert body_of("kms", ServiceError("NotFoundException", "No")) == (
        b'{"__type":"NotFoundException","message":"No"}'
    )


def test_the_type_of_an_error_says_whose_fault_it_is() -> None:
    assert b"<Type>Receiver</Type>" in body_of("sts", errors.InternalServerException("x"))


def test_clients_of_an_older_query_protocol_get_its_codes_by_a_header() -> None:
    service = load_service("cloudwatch")
    operation = service.operations["GetDashboard"]
    error = ServiceError("DashboardNotFoundError", "No")
    for protocol in ("json", "smithy-rpc-v2-cbor"):
        response = serialize_error(error, operation, None, "the-id", protocol)
        assert response.headers["x-amzn-query-error"] == "ResourceNotFound;Sender"
        raw = {"headers": response.headers, "status_code": 404, "body": response.body}
        parser: Any = create_parser(protocol)
        parsed = parser.parse(raw, None)
        assert parsed["Error"]["Code"] == "ResourceNotFound"
        assert response.status == 404
    denied = serialize_error(DENIED, operation, None, "the-id", "json")
    assert denied.headers["x-amzn-query-error"] == "AccessDenied;Sender"


def test_an_error_s_message_is_spelt_as_its_shape_has_it() -> None:
    operation = load_service("secretsmanager").operations["GetSecretValue"]
    error = ServiceError("ResourceNotFoundException", "No")
    assert serialize_error(error, operation, None, "the-id").body == (
        b'{"__type":"ResourceNotFoundException","Message":"No"}'
    )
