"""CloudWatch Logs in the service authorization reference, and the account's resource policies.

What is done to a group asks for ``log-group:NAME:log-stream:``, as AWS's refusals show: policies
name it ``log-group:NAME:*``. Tags and Live Tail ask for the group without an ending.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.log_records import LogGroup, LogPolicy, group_arn, stream_arn
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place

Keys = dict[str, str | tuple[str, ...]]

_PARTS: Final = 7


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    parts = access.resource.split(":", _PARTS)
    if len(parts) < _PARTS or parts[5] != "log-group":
        return None
    region, account, name = parts[3], parts[4], parts[6]
    async with stores.resources.reading() as view:
        group = await view.find(LogGroup, Place(account, region, name))
        policies = await view.list(LogPolicy, account=account, region=region)
    documents = tuple(each.record.document for each in policies)
    return Facts(
        account=account,
        tags=group.tags if group else {},
        policy=_together(documents) if documents else None,
    )


@lru_cache(maxsize=256)
def _together(documents: tuple[str, ...]) -> str:
    """One policy of the statements of all. Their names may repeat, so they go without."""
    read = [cast("dict[str, Any]", json.loads(document)) for document in documents]
    version = max((one.get("Version", "2008-10-17") for one in read), default="2012-10-17")
    statements = [
        {key: value for key, value in statement.items() if key != "Sid"}
        for one in read
        for statement in _listed(one["Statement"])
    ]
    return json.dumps({"Version": version, "Statement": statements})


def _listed(statements: Any) -> list[dict[str, Any]]:
    if isinstance(statements, list):
        return cast("list[dict[str, Any]]", statements)
    return [statements]


def _named(asked: Asked) -> str:
    """The name of the group, from whichever member has it."""
    params = asked.params
    given = params.get("logGroupName") or params.get("logGroupIdentifier") or ""
    return _name(given or params.get("resourceIdentifier") or params.get("resourceArn") or "")


def _name(identifier: str) -> str:
    parts = identifier.split(":", _PARTS)
    return parts[6] if identifier.startswith("arn:") and len(parts) >= _PARTS else identifier


def _whole(asked: Asked, name: str) -> str:
    return stream_arn(asked.region, asked.account, name, "")


def _on_group(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return [Access(f"logs:{action}", _whole(asked, _named(asked)))]

    return rule


def _on_stream(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        stream = asked.params["logStreamName"]
        arn = stream_arn(asked.region, asked.account, _named(asked), stream)
        return [Access(f"logs:{action}", arn)]

    return rule


def _on_tagged(action: str, keys: Callable[[Mapping[str, Any]], Keys] | None = None) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        arn = group_arn(asked.region, asked.account, _named(asked))
        return [Access(f"logs:{action}", arn, keys(asked.params) if keys else {})]

    return rule


def _create_group(asked: Asked) -> Sequence[Access]:
    tags: dict[str, str] = asked.params.get("tags") or {}
    keys = _tag_keys(tags)
    name = asked.params["logGroupName"]
    accesses = [Access("logs:CreateLogGroup", _whole(asked, name), keys)]
    if tags:
        arn = group_arn(asked.region, asked.account, name)
        accesses.append(Access("logs:TagResource", arn, keys))
    return accesses


def _live_tail(asked: Asked) -> Sequence[Access]:
    return [
        Access("logs:StartLiveTail", group_arn(asked.region, asked.account, _name(each)))
        for each in asked.params["logGroupIdentifiers"]
    ]


def _start_query(asked: Asked) -> Sequence[Access]:
    params = asked.params
    named = params.get("logGroupNames") or params.get("logGroupIdentifiers") or ()
    names = [*named, *filter(None, [params.get("logGroupName")])]
    return [
        Access("logs:StartQuery", _whole(asked, _name(each))) for each in dict.fromkeys(names)
    ] or [Access("logs:StartQuery")]


def _tag_keys(tags: Mapping[str, str]) -> Keys:
    return request_tag_keys([{"Key": key, "Value": value} for key, value in tags.items()])


_ON_GROUP: Final = (
    *("AssociateKmsKey", "DeleteLogGroup", "DeleteMetricFilter", "DeleteRetentionPolicy"),
    *("DeleteSubscriptionFilter", "DescribeLogGroups", "DescribeLogStreams"),
    *("DescribeMetricFilters", "DescribeSubscriptionFilters", "DisassociateKmsKey"),
    *("FilterLogEvents", "PutLogGroupDeletionProtection", "PutMetricFilter", "PutRetentionPolicy"),
    "PutSubscriptionFilter",
)
_ON_STREAM: Final = ("CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents")

RULES: Mapping[str, Rule] = {
    **{name: _on_group(name) for name in _ON_GROUP},
    **{name: _on_stream(name) for name in _ON_STREAM},
    "CreateLogGroup": _create_group,
    "StartLiveTail": _live_tail,
    "StartQuery": _start_query,
    "ListTagsForResource": _on_tagged("ListTagsForResource"),
    "ListTagsLogGroup": _on_tagged("ListTagsLogGroup"),
    "TagLogGroup": _on_tagged("TagLogGroup", lambda params: _tag_keys(params["tags"])),
    "TagResource": _on_tagged("TagResource", lambda params: _tag_keys(params["tags"])),
    "UntagLogGroup": _on_tagged("UntagLogGroup", lambda params: removed_tag_keys(params["tags"])),
    "UntagResource": _on_tagged(
        "UntagResource", lambda params: removed_tag_keys(params["tagKeys"])
    ),
}
