"""What requests of Support have in common: trial runs, times as text, whose case is meant."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.stores.resources import Place, View
from outcrop.stores.support_cases import Case
from outcrop.stores.support_records import SupportCase
from outcrop.wire import timestamps

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def refuse_dry_run(params: Mapping[str, Any]) -> None:
    """After all checks and before anything is done."""
    if params.get("dryRun"):
        raise ServiceError(
            "DryRunOperationException",
            "The request was valid, but the operation wasn't performed because dryRun was set to "
            "true.",
        )


def refuse_uploads(params: Mapping[str, Any]) -> None:
    """Files come in attachment sets here; there are no uploads of their own to name."""
    for upload in params.get("uploadIds", ()):
        raise ServiceError("UploadIdNotFound", f"The upload {upload} couldn't be located.")


async def get_own_case(view: View, call: Call, case_id: str | None) -> Case:
    case = None
    if case_id is not None:
        case = await view.find(SupportCase, Place(call.account, "", case_id))
    if case is None:
        raise no_such_case(case_id)
    return case


def no_such_case(identifier: str | None) -> ServiceError:
    return ServiceError(
        "CaseIdNotFound", f"The requested CaseId {identifier or ''} couldn't be located."
    )


@dataclass(frozen=True, slots=True)
class Span:
    """From ``after`` to ``before``, both taken along."""

    after: datetime | None
    before: datetime | None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Span":
        return cls(_time(params, "afterTime"), _time(params, "beforeTime"))

    def holds(self, moment: datetime) -> bool:
        if self.after is not None and moment < self.after:
            return False
        return self.before is None or moment <= self.before


def render_time(moment: datetime) -> str:
    """Text, with milliseconds, as AWS writes them."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _time(params: Mapping[str, Any], name: str) -> datetime | None:
    value: str | None = params.get(name)
    if value is None:
        return None
    text = f"{value}T00:00:00Z" if _DAY.fullmatch(value) else value
    try:
        return timestamps.parse(text, "iso8601")
    except timestamps.MalformedTimestamp as error:
        raise ValidationException(
            f"Invalid {name}: {value!r} is not a time like 2024-11-12T00:00:00Z."
        ) from error
