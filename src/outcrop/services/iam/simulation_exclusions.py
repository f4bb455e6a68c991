"""Policies that a simulation leaves out: by type, by ARN, or one inline policy of somebody."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outcrop.authorization.simulation import Attached
from outcrop.errors import ServiceError
from outcrop.stores.iam_names import AWS_POLICIES

_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[^*]*\*?[^*]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exclusions:
    types: frozenset[str]
    arns: tuple[str, ...]
    inline: tuple[Mapping[str, str], ...]

    def covers(self, policy: Attached) -> bool:
        if policy.is_inline:
            return "inline" in self.types or any(
                each["PolicyName"] == policy.name
                and each["AttachmentType"].lower() == policy.holder_kind
                and _matches(each["AttachmentName"], policy.holder)
                for each in self.inline
            )
        is_aws = policy.name.startswith(AWS_POLICIES)
        return ("aws-managed" if is_aws else "user-managed") in self.types or any(
            _matches(arn, policy.name) for arn in self.arns
        )

    @property
    def cover_boundary(self) -> bool:
        return "permission-boundary" in self.types

    @property
    def cover_service_control(self) -> bool:
        return "scp" in self.types


def parse_exclusions(identifiers: Sequence[Mapping[str, Any]]) -> Exclusions:
    arns = tuple(each["PolicyArn"] for each in identifiers if "PolicyArn" in each)
    for arn in arns:
        if not _ARN.fullmatch(arn):
            raise ServiceError("InvalidInput", f"The policy identifier {arn} is not valid.")
    inline = tuple(
        each["InlinePolicyIdentifier"] for each in identifiers if "InlinePolicyIdentifier" in each
    )
    for each in inline:
        if each["AttachmentName"].count("*") > 1:
            raise ServiceError(
                "InvalidInput", f"The name {each['AttachmentName']} may hold one * at most."
            )
    types = frozenset(each["PolicyType"] for each in identifiers if "PolicyType" in each)
    return Exclusions(types, arns, inline)


def _matches(pattern: str, text: str) -> bool:
    parts = [{"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
