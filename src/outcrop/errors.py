"""Every error a client can receive, as one tree; a class's name is its code on the wire.

    AWSError
    ├── service errors: the status is the one the operation's model gives, else the class's own
    │   ├── ValidationException, ResourceNotFoundException, AccessDeniedException
    │   ├── ConflictException, ResourceInUseException, TooManyTagsException
    │   ├── ThrottlingException, ServiceQuotaExceededException
    │   ├── ModelErrorException, ModelStreamErrorException
    │   ├── ModelTimeoutException, ModelNotReadyException
    │   ├── InternalServerException, ServiceUnavailableException
    │   └── ServiceError: any other code that a service's model declares or its users know
    └── CommonError: raised before an operation is reached; no model declares it
        ├── UnknownOperationException, NotImplementedException, SerializationException
        ├── MissingAuthenticationTokenException, IncompleteSignatureException
        └── InvalidSignatureException, UnrecognizedClientException, ExpiredTokenException

Sources: botocore's service models; the recorded answers of the real service.
"""

from typing import Any, ClassVar


class AWSError(Exception):
    """An answer other than success: code and message, with further members its shape declares."""

    status: int = 400
    message_key: ClassVar[str] = "message"

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.message = message
        self.members = members
        self.headers: dict[str, str] = {}
        """Headers of the answer besides those that its protocol has."""

    @property
    def code(self) -> str:
        return type(self).__name__


class ValidationException(AWSError):
    pass


class ResourceNotFoundException(AWSError):
    status = 404


class AccessDeniedException(AWSError):
    status = 403


class AuthorizationDenied(AccessDeniedException):
    """A refusal by identity or policy: same code, but the wire spells its member ``Message``."""

    message_key = "Message"

    @property
    def code(self) -> str:
        return "AccessDeniedException"


class ConflictException(AWSError):
    pass


class ThrottlingException(AWSError):
    status = 429


class ServiceQuotaExceededException(AWSError):
    pass


class TooManyTagsException(AWSError):
    pass


class ResourceInUseException(AWSError):
    pass


class ModelErrorException(AWSError):
    status = 424


class ModelStreamErrorException(AWSError):
    status = 424


class ModelTimeoutException(AWSError):
    status = 408


class ModelNotReadyException(AWSError):
    status = 429


class InternalServerException(AWSError):
    status = 500


class ServiceUnavailableException(AWSError):
    status = 503


class ServiceError(AWSError):
    """An error whose code is no Python name or belongs to one service: ``NoSuchEntity``,
    ``InvalidVpcID.NotFound``. ``status`` is for codes that the service's model leaves out."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, **members: Any
    ) -> None:
        super().__init__(message, **members)
        self._code = code
        if status is not None:
            self.status = status

    @property
    def code(self) -> str:
        return self._code


class CommonError(AWSError):
    """An error of the layer in front of every service."""


class UnknownOperationException(CommonError):
    status = 404


class NotImplementedException(CommonError):
    """The operation exists in the service model and Outcrop does not have it yet."""

    status = 501


class SerializationException(CommonError):
    """The request body or a header cannot be read as the operation's shape."""


class MissingAuthenticationTokenException(CommonError):
    status = 403


class IncompleteSignatureException(CommonError):
    status = 403


class InvalidSignatureException(CommonError):
    status = 403


class UnrecognizedClientException(CommonError):
    status = 403


class ExpiredTokenException(CommonError):
    status = 403
