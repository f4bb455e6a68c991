"""ARNs of foundation models and of cross-region inference profiles: built and read here only."""

import re
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 2048
_FOUNDATION_MODEL: Final = re.compile(
    r"arn:(aws(?:-[a-z]+)*):bedrock:([a-z0-9-]{1,20})::foundation-model/([^/\s]+)"
)
_INFERENCE_PROFILE: Final = re.compile(
    r"arn:(aws(?:-[a-z]+)*):bedrock:([a-z0-9-]{1,20}):([0-9]{12}):inference-profile/([^/\s]+)",
    re.ASCII,
)
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


@dataclass(frozen=True, slots=True)
class FoundationModelArn:
    partition: str
    region: str
    model_id: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:bedrock:{self.region}::foundation-model/{self.model_id}"


@dataclass(frozen=True, slots=True)
class InferenceProfileArn:
    """``profile_id`` has its prefix: ``us.anthropic.claude-sonnet-4-6``."""

    partition: str
    region: str
    account: str
    profile_id: str

    def __str__(self) -> str:
        return (
            f"arn:{self.partition}:bedrock:{self.region}:{self.account}"
            f":inference-profile/{self.profile_id}"
        )


def partition_of(region: str) -> str:
    for prefix, partition in _PARTITIONS.items():
        if region.startswith(prefix):
            return partition
    return "aws"


def foundation_model_arn(region: str, model_id: str) -> str:
    return str(FoundationModelArn(partition_of(region), region, model_id))


def inference_profile_arn(region: str, account: str, profile_id: str) -> str:
    return str(InferenceProfileArn(partition_of(region), region, account, profile_id))


def parse_arn(text: str) -> FoundationModelArn | InferenceProfileArn | None:
    """``None`` for whatever is neither of the two, well formed or not."""
    if len(text) > _LONGEST:
        return None
    if found := _FOUNDATION_MODEL.fullmatch(text):
        return FoundationModelArn(*found.groups())
    if found := _INFERENCE_PROFILE.fullmatch(text):
        return InferenceProfileArn(*found.groups())
    return None
