"""What a target must be before a rule takes it: an ARN of a kind that events can be sent to, with
the parameters and the role that this kind needs and none that nobody would look at."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from outcrop.config import TargetService
from outcrop.errors import ServiceError, ValidationException
from outcrop.events.inputs import InvalidInput, check_input
from outcrop.services.events.references import read_arn

_PLAIN: Final = frozenset(
    {"Id", "Arn", "Input", "InputPath", "InputTransformer", "DeadLetterConfig", "RetryPolicy"}
)

_ELSEWHERE: Final[Mapping[str, TargetService]] = {
    "lambda": "lambda",
    "kinesis": "kinesis",
    "firehose": "firehose",
    "states": "states",
    "ecs": "ecs",
    "sagemaker": "sagemaker",
    "batch": "batch",
}

_PARAMETERS: Final[Mapping[str, str]] = {
    "sqs": "SqsParameters",
    "api-destination": "HttpParameters",
    "kinesis": "KinesisParameters",
    "ecs": "EcsParameters",
    "batch": "BatchParameters",
    "sagemaker": "SageMakerPipelineParameters",
}
_NEEDED: Final = frozenset({"ecs", "batch"})
"""Kinds whose parameters are required."""

_WITH_ROLE: Final = frozenset(
    {"bus", "api-destination", "kinesis", "firehose", "states", "ecs", "sagemaker", "batch"}
)
_ROLE_NEEDED: Final = _WITH_ROLE - {"bus"}


class RefusedTarget(Exception):
    """By itself: the other targets of the request are taken."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def kind_of(arn: str) -> str:
    """``sns``, ``sqs``, ``logs``, ``bus``, ``api-destination`` or a service elsewhere. Empty for
    what no event can be sent to."""
    read = read_arn(arn)
    if read is None:
        return ""
    service, _, _, resource = read
    if service == "events":
        noun = resource.partition("/")[0]
        return {"event-bus": "bus", "api-destination": "api-destination"}.get(noun, "")
    if service == "logs":
        return "logs" if resource.startswith("log-group:") else ""
    return service if service in ("sns", "sqs") or service in _ELSEWHERE else ""


def elsewhere(kind: str) -> TargetService | None:
    return _ELSEWHERE.get(kind)


def check_target(target: Mapping[str, Any], rule_arn: str, configured: Collection[str]) -> None:
    """Raises ``ValidationException`` for what AWS refuses whole requests for, else
    ``RefusedTarget``."""
    arn: str = target["Arn"]
    kind = kind_of(arn)
    if read_arn(arn) is None:
        raise ValidationException(
            f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
        )
    if not kind:
        raise RefusedTarget(
            "UnsupportedTarget", f"Outcrop cannot send events to {arn}: it has no such target."
        )
    service = elsewhere(kind)
    if service is not None and service not in configured:
        raise RefusedTarget(
            "TargetNotConfigured",
            f"Outcrop has no {service} of its own. Name one in the configuration, as "
            f"[services.targets.{service}] with its region and, unless it is AWS's, its endpoint.",
        )
    _check_parameters(target, kind)
    _check_role(target, kind, rule_arn)
    _check_place(arn, kind, rule_arn)
    try:
        check_input(target)
    except InvalidInput as error:
        raise ValidationException(str(error)) from error


def _check_parameters(target: Mapping[str, Any], kind: str) -> None:
    own = _PARAMETERS.get(kind)
    for name in target:
        if name not in _PLAIN and name not in ("RoleArn", own):
            raise ValidationException(
                f"Parameter {name} is not valid for target {target['Id']}: nothing of it is sent "
                f"to {target['Arn']}."
            )
    is_fifo = kind == "sqs" and target["Arn"].endswith(".fifo")
    needed = kind in _NEEDED or is_fifo
    if needed and own is not None and own not in target:
        raise ValidationException(
            f"Parameter(s) {own} must be specified for target: {target['Id']}."
        )
    if kind == "sqs" and own in target and not is_fifo:
        raise ValidationException(
            f"Parameter SqsParameters is not valid for target {target['Id']}: only FIFO queues "
            "have message groups."
        )


def _check_role(target: Mapping[str, Any], kind: str, rule_arn: str) -> None:
    own_bus = kind == "bus" and _account(target["Arn"]) == _account(rule_arn)
    if (kind in _ROLE_NEEDED or own_bus) and "RoleArn" not in target:
        raise ValidationException(f"RoleArn is required for target {target['Id']}.")
    if kind not in _WITH_ROLE and "RoleArn" in target:
        raise ValidationException(
            f"RoleArn is not supported for target {target['Id']}: the policy of {target['Arn']} "
            "decides whether events.amazonaws.com may send to it."
        )


def _check_place(arn: str, kind: str, rule_arn: str) -> None:
    """All but buses lie in the rule's region."""
    region = arn.split(":")[3]
    if kind != "bus" and region != rule_arn.split(":")[3]:
        raise ValidationException(
            f"Parameter {arn} is not valid. Reason: The target is not in the region of the rule."
        )
    if kind in ("logs", "api-destination") and _account(arn) != _account(rule_arn):
        raise ValidationException(
            f"Parameter {arn} is not valid. Reason: The target is not in the account of the rule."
        )


def _account(arn: str) -> str:
    return arn.split(":")[4]


def check_dead_letters(target: Mapping[str, Any], rule_arn: str) -> None:
    arn = target.get("DeadLetterConfig", {}).get("Arn")
    if arn is None:
        return
    if kind_of(arn) != "sqs" or arn.endswith(".fifo"):
        raise ValidationException(
            f"Parameter DeadLetterConfig is not valid for target {target['Id']}: {arn} is not the "
            "ARN of a standard SQS queue."
        )
    if arn.split(":")[3] != rule_arn.split(":")[3]:
        raise ServiceError(
            "ValidationException",
            f"Parameter DeadLetterConfig is not valid for target {target['Id']}: {arn} is not in "
            "the region of the rule.",
        )
