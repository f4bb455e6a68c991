"""CloudWatch in the service authorization reference: what is done to alarms is on those alarms, the
rest on no resource. Its actions are called ``cloudwatch:``, though it signs as ``monitoring``."""

from collections.abc import Mapping, Sequence

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.alarm_records import Alarm, alarm_arn
from outcrop.stores.opened import Stores

Keys = dict[str, str | tuple[str, ...]]

PREFIX = "cloudwatch"
_ACTIONS = ("AlarmActions", "InsufficientDataActions", "OKActions")


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    if access.resource == "*":
        return None
    async with stores.resources.reading() as view:
        alarm = await view.find_arn(Alarm, access.resource)
    return None if alarm is None else Facts(account=alarm.place.account, tags=alarm.tags)


def _on_alarms(action: str) -> Rule:
    """On each alarm that is named; on all where none is."""

    def rule(asked: Asked) -> Sequence[Access]:
        named = asked.params.get("AlarmNames") or [asked.params.get("AlarmName", "*")]
        return [
            Access(f"{PREFIX}:{action}", alarm_arn(asked.region, asked.account, name))
            for name in named
        ]

    return rule


def _put_metric_data(asked: Asked) -> Sequence[Access]:
    return [Access(f"{PREFIX}:PutMetricData", keys={"cloudwatch:namespace": _namespace(asked)})]


def _namespace(asked: Asked) -> str:
    return asked.params["Namespace"]


def _put_metric_alarm(asked: Asked) -> Sequence[Access]:
    params = asked.params
    actions = tuple(action for name in _ACTIONS for action in params.get(name, ()))
    keys: Keys = dict(request_tag_keys(params.get("Tags")))
    if actions:
        keys["cloudwatch:alarmactions"] = actions
    alarm = alarm_arn(asked.region, asked.account, params["AlarmName"])
    names = ["PutMetricAlarm", *(["TagResource"] if params.get("Tags") else [])]
    return [Access(f"{PREFIX}:{name}", alarm, keys) for name in names]


def _tag(asked: Asked) -> Sequence[Access]:
    keys = request_tag_keys(asked.params["Tags"])
    return [Access(f"{PREFIX}:TagResource", asked.params["ResourceARN"], keys)]


def _untag(asked: Asked) -> Sequence[Access]:
    keys = removed_tag_keys(asked.params["TagKeys"])
    return [Access(f"{PREFIX}:UntagResource", asked.params["ResourceARN"], keys)]


def _list_tags(asked: Asked) -> Sequence[Access]:
    return [Access(f"{PREFIX}:ListTagsForResource", asked.params["ResourceARN"])]


_OF_ALARMS = (
    "DeleteAlarms",
    "DescribeAlarmHistory",
    "DescribeAlarms",
    "DisableAlarmActions",
    "EnableAlarmActions",
    "SetAlarmState",
)

RULES: Mapping[str, Rule] = {
    **{name: _on_alarms(name) for name in _OF_ALARMS},
    "ListTagsForResource": _list_tags,
    "PutMetricAlarm": _put_metric_alarm,
    "PutMetricData": _put_metric_data,
    "TagResource": _tag,
    "UntagResource": _untag,
}
