"""The registry of handlers, and the one table that turns the errors of lower layers into AWS's.

A handler's name is its binding: ``list_foundation_models`` in ``services/bedrock/`` answers
ListFoundationModels of ``bedrock``. ``unknown_handlers`` finds misspelt names.
"""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from outcrop.catalog.catalog import NoSuchModel, WrongRegion
from outcrop.dialects import NoDialect
from outcrop.engines.protocol import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineRefused,
    EngineTimeout,
    InputTooLong,
    Unsupported,
)
from outcrop.errors import (
    AWSError,
    InternalServerException,
    ModelErrorException,
    ModelNotReadyException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ServiceUnavailableException,
    ThrottlingException,
    ValidationException,
)
from outcrop.services.call import Answered, Call
from outcrop.wire.spec import Service

Handler = Callable[[Call, Any], Awaitable[Answered]]
HandlerT = TypeVar("HandlerT", bound=Handler)

_HANDLERS: dict[tuple[str, str], Handler] = {}


def operation(handler: HandlerT) -> HandlerT:
    """Bind a handler to the operation of its name, in the service of its package."""
    service = handler.__module__.split(".")[2].replace("_", "-")
    _HANDLERS[service, handler.__name__] = handler
    return handler


def find_handler(service: str, handler_name: str) -> Handler | None:
    return _HANDLERS.get((service, handler_name))


def handled_operations() -> frozenset[tuple[str, str]]:
    return frozenset(_HANDLERS)


def unknown_handlers(service: Service) -> list[str]:
    """Handlers of the service that no operation of its model is named after."""
    known = {operation.handler_name for operation in service.operations.values()}
    named = {name for owner, name in _HANDLERS if owner == service.name}
    return sorted(named - known)


_UNEXPECTED = (
    "The system encountered an unexpected error during processing. Try your request again."
)


def _refusal(error: InputTooLong | Unsupported | EngineRefused) -> str:
    match error:
        case InputTooLong():
            return "Input is too long for requested model."
        case Unsupported():
            return (
                f"The parameter {error.parameter} with the value {error.value!r} is not supported "
                "by the engine that serves this model. Remove it, or bind the model to another "
                "engine."
            )
        case EngineRefused():
            return str(error)


def _engine_error(error: EngineError, started: bool) -> AWSError:
    """``started``: the stream's first event is already out."""
    match error:
        case InputTooLong() | Unsupported() | EngineRefused():
            return ValidationException(_refusal(error))
        case EngineBusy():
            return ThrottlingException("Too many requests, please wait before trying again.")
        case EngineNotReady():
            return ModelNotReadyException(f"The model is not ready to serve requests: {error}")
        case EngineTimeout():
            return ModelTimeoutException(
                "Model has timed out in processing the request. Try your request again."
            )
        case EngineGone() if started:
            return ModelStreamErrorException(_UNEXPECTED)
        case EngineGone():
            return ServiceUnavailableException("Bedrock is unable to process your request.")
        case EngineFailed() if started:
            return ModelStreamErrorException(str(error))
        case EngineFailed():
            return ModelErrorException(str(error))
        case _:
            return InternalServerException(_UNEXPECTED)


@contextmanager
def aws_errors() -> Generator[None]:
    """Around a handler: what lower layers raise becomes the error AWS would give."""
    try:
        yield
    except NoSuchModel as error:
        raise ValidationException("The provided model identifier is invalid.") from error
    except WrongRegion as error:
        raise ValidationException("The provided ARN is invalid for the service region") from error
    except NoDialect as error:
        raise ValidationException(str(error)) from error
    except EngineError as error:
        raise _engine_error(error, started=False) from error
    except RecursionError as error:
        # Only a request nested hundreds of levels deep gets here.
        raise ValidationException("The request is nested too deeply.") from error


def aws_stream_error(error: EngineError) -> AWSError:
    """The same for what happens after the first event."""
    return _engine_error(error, started=True)
