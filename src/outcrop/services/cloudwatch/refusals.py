"""What CloudWatch refuses with: the codes that its clients have known since the query protocol."""

from collections.abc import Mapping
from typing import Any

from outcrop.errors import ServiceError, ValidationException


def invalid(message: str) -> ValidationException:
    """``ValidationError`` to clients of the query protocol."""
    return ValidationException(message)


def invalid_value(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def invalid_combination(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombination", message)


def missing(message: str) -> ServiceError:
    return ServiceError("MissingParameter", message)


def refuse(params: Mapping[str, Any], *names: str) -> None:
    """Parameters that nothing here would honour."""
    for name in names:
        if params.get(name) not in (None, False):
            raise invalid_value(f"The parameter {name} is not supported here.")
