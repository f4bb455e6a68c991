"""Alarms on metrics. The topic is ``cloudwatch``; an alarm is named by its name in its region."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from outcrop.stores.resources import Record

TOPIC = "cloudwatch"

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


class Alarm(Record, frozen=True, kw_only=True, omit_defaults=True):
    """``settings`` are those of PutMetricAlarm by wire name, without name and tags.
    ``state_at`` is when the state was last set, ``transitioned_at`` when it last became another."""

    KIND: ClassVar[str] = "cloudwatch:alarm"

    settings: dict[str, Any]
    configured_at: datetime
    state: State
    reason: str
    reason_data: str = ""
    state_at: datetime
    transitioned_at: datetime
    is_enabled: bool = True
    """Whether actions are taken."""


def alarm_arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"
