"""How SQS words what is wrong with a parameter."""

from outcrop.errors import ServiceError


def invalid_value(parameter: str, value: object, reason: str) -> ServiceError:
    return ServiceError(
        "InvalidParameterValue",
        f"Value {value} for parameter {parameter} is invalid. Reason: {reason}",
    )


def missing(parameter: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {parameter}.")


def unknown_attribute(name: str) -> ServiceError:
    return ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")


def not_for_this_queue(parameter: str, value: object) -> ServiceError:
    reason = "The request include parameter that is not valid for this queue type"
    return invalid_value(parameter, value, reason)


def in_bounds(parameter: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise invalid_value(parameter, value, f"Must be >= {least} and <= {most}, if provided.")
