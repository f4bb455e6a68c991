"""What each protocol calls the errors that no operation declares: those of the layer in front.

The classes of ``errors.py`` bear the codes of AWS's JSON services. Older protocols have their own;
a service's own codes (``ServiceError``, or declared in its model) go out as they are.

Sources: "Common Errors" of the IAM, STS and EC2 API references, "Error responses" of the S3 API
reference, and recorded refusals of IAM, STS, SNS, EC2 and S3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from outcrop.errors import AWSError, CommonError, ServiceError
from outcrop.wire.spec import Operation, Service


@dataclass(frozen=True, slots=True)
class Fault:
    """``name`` is the error's shape, ``code`` what the older protocols call it."""

    name: str
    code: str
    status: int
    message: str

    @property
    def is_senders(self) -> bool:
        return self.status < 500


@dataclass(frozen=True, slots=True)
class _Row:
    code: str
    status: int
    message: str = "{}"


def fault_of(
    error: AWSError, operation: Operation | None, service: Service | None, protocol: str
) -> Fault:
    if _is_general(error, service, protocol):
        if service is not None and error.code == _DENIED and _SNS_DENIED in service.error_statuses:
            return Fault(_SNS_DENIED, _SNS_DENIED, error.status, error.message)
        row = _row(error, service, protocol)
        if row:
            # Not format(): the text is the client's in part, the row's is ours.
            return Fault(row.code, row.code, row.status, row.message.replace("{}", error.message))
        return Fault(error.code, error.code, error.status, error.message)
    declared = operation.errors.get(error.code) if operation else None
    status = service.error_statuses.get(error.code, error.status) if service else error.status
    name = declared.name if declared else error.code
    code = declared.error_code or name if declared else _older_code(error, service)
    return Fault(name, code, status, error.message)


def _older_code(error: AWSError, service: Service | None) -> str:
    """A service may know an error that the operation leaves out by an older code as well."""
    older = _QUERY.get(error.code)
    is_known = older and service and older.code in service.error_statuses
    return older.code if older and is_known else error.code


def _is_general(error: AWSError, service: Service | None, protocol: str) -> bool:
    if isinstance(error, CommonError) or service is None:
        return True
    if isinstance(error, ServiceError):
        return False
    if protocol == "query" and error.code == _INVALID:
        # SNS declares it, and answers ValidationError all the same (recorded of PublishBatch).
        return True
    return error.code not in service.error_statuses


def _row(error: AWSError, service: Service | None, protocol: str) -> _Row | None:
    if protocol == "rest-xml":
        rows = _OBJECT_STORE if service is None or service.is_object_store else _QUERY
    else:
        rows = _ROWS.get(protocol, {})
    if error.code == "InvalidSignatureException" and error.message.startswith(_UNTIMELY):
        return rows.get("untimely") or rows.get(error.code)
    return rows.get(error.code)


# Services whose model has a code of its own for denials use it.
_DENIED = "AccessDeniedException"
_INVALID = "ValidationException"
_SNS_DENIED = "AuthorizationError"

# How the texts of a signature begin whose time is not now.
_UNTIMELY = ("Signature expired", "Signature not yet current")

_QUERY: Mapping[str, _Row] = {
    "AccessDeniedException": _Row("AccessDenied", 403),
    "ExpiredTokenException": _Row("ExpiredToken", 403),
    "IncompleteSignatureException": _Row("IncompleteSignature", 403),
    "InternalServerException": _Row("InternalFailure", 500),
    "InvalidSignatureException": _Row("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": _Row("MissingAuthenticationToken", 403),
    "NotImplementedException": _Row("NotImplemented", 501),
    "SerializationException": _Row("MalformedInput", 400),
    "ServiceUnavailableException": _Row("ServiceUnavailable", 503),
    "ThrottlingException": _Row("Throttling", 400),
    "UnknownOperationException": _Row("InvalidAction", 400),
    "UnrecognizedClientException": _Row("InvalidClientTokenId", 403),
    "ValidationException": _Row("ValidationError", 400),
}

# The codes are those of errors.py, but every fault of a client is a 400: recorded of KMS
# (elastic/cloudbeat#1749), Secrets Manager (external-secrets#4254) and ECR (aws-sdk-php#1114).
_RPC: Mapping[str, _Row] = {
    code: _Row(code, 400)
    for code in (
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SerializationException",
        "ThrottlingException",
        "UnknownOperationException",
        "UnrecognizedClientException",
        "ValidationException",
    )
}

_NOT_VALIDATED = "AWS was not able to validate the provided access credentials"
_EC2: Mapping[str, _Row] = {
    # Clients read what follows the first sentence, and decode what EC2 once encoded there.
    "AccessDeniedException": _Row(
        "UnauthorizedOperation", 403, "You are not authorized to perform this operation. {}"
    ),
    "ExpiredTokenException": _Row("RequestExpired", 400, "Request has expired."),
    "IncompleteSignatureException": _Row("IncompleteSignature", 400),
    "InternalServerException": _Row("InternalError", 500),
    "InvalidSignatureException": _Row("AuthFailure", 401, _NOT_VALIDATED),
    "MissingAuthenticationTokenException": _Row("MissingAuthenticationToken", 403),
    "NotImplementedException": _Row("UnsupportedOperation", 501),
    "SerializationException": _Row("InvalidParameterValue", 400),
    "ServiceUnavailableException": _Row("Unavailable", 503),
    "ThrottlingException": _Row("RequestLimitExceeded", 503),
    "UnknownOperationException": _Row("InvalidAction", 400),
    "UnrecognizedClientException": _Row("AuthFailure", 401, _NOT_VALIDATED),
    "ValidationException": _Row("InvalidParameterValue", 400),
    "untimely": _Row("RequestExpired", 400, "Request has expired."),
}

_OBJECT_STORE: Mapping[str, _Row] = {
    "AccessDeniedException": _Row("AccessDenied", 403),
    "ExpiredTokenException": _Row("ExpiredToken", 400, "The provided token has expired."),
    "IncompleteSignatureException": _Row("AuthorizationHeaderMalformed", 400),
    "InternalServerException": _Row("InternalError", 500),
    "InvalidSignatureException": _Row(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. Check "
        "your key and signing method.",
    ),
    # A request without a signature is an anonymous one here.
    "MissingAuthenticationTokenException": _Row("AccessDenied", 403, "Access Denied"),
    "NotImplementedException": _Row("NotImplemented", 501),
    "SerializationException": _Row("MalformedXML", 400),
    "ServiceUnavailableException": _Row("ServiceUnavailable", 503),
    "ThrottlingException": _Row("SlowDown", 503, "Please reduce your request rate."),
    "UnknownOperationException": _Row(
        "MethodNotAllowed", 405, "The specified method is not allowed against this resource."
    ),
    "UnrecognizedClientException": _Row(
        "InvalidAccessKeyId",
        403,
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    "ValidationException": _Row("InvalidArgument", 400),
    "untimely": _Row(
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
    ),
}

_ROWS: Mapping[str, Mapping[str, _Row]] = {
    "query": _QUERY,
    "ec2": _EC2,
    "json": _RPC,
    "smithy-rpc-v2-cbor": _RPC,
}
