"""CloudTrail in the service authorization reference: trails by ARN, the event history for all."""

from collections.abc import Sequence

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import read_tags, removed_tag_keys, request_tag_keys
from outcrop.stores.opened import Stores
from outcrop.stores.trail_records import Trail, trail_arn


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    if access.resource == "*":
        return None
    async with stores.resources.reading() as view:
        item = await view.find_arn(Trail, access.resource)
    return None if item is None else Facts(account=item.place.account, tags=item.tags)


def _arn(asked: Asked, name: str) -> str:
    return name if name.startswith("arn:") else trail_arn(asked.region, asked.account, name)


def _on_trail(action: str, member: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return [Access(f"cloudtrail:{action}", _arn(asked, asked.params[member]))]

    return rule


def _create(asked: Asked) -> Sequence[Access]:
    """With tags it adds them, too."""
    resource = _arn(asked, asked.params["Name"])
    tags = asked.params.get("TagsList")
    keys = request_tag_keys(tags)
    actions = ["CreateTrail", *(["AddTags"] if tags else [])]
    return [Access(f"cloudtrail:{action}", resource, keys) for action in actions]


def _add_tags(asked: Asked) -> Sequence[Access]:
    keys = request_tag_keys(asked.params["TagsList"])
    return [Access("cloudtrail:AddTags", asked.params["ResourceId"], keys)]


def _remove_tags(asked: Asked) -> Sequence[Access]:
    keys = removed_tag_keys(read_tags(asked.params["TagsList"]))
    return [Access("cloudtrail:RemoveTags", asked.params["ResourceId"], keys)]


def _list_tags(asked: Asked) -> Sequence[Access]:
    return [Access("cloudtrail:ListTags", arn) for arn in asked.params["ResourceIdList"]]


_BY_NAME = (
    *("DeleteTrail", "GetTrail", "GetTrailStatus", "StartLogging", "StopLogging"),
    "UpdateTrail",
)

RULES = {
    **{name: _on_trail(name, "Name") for name in _BY_NAME},
    "AddTags": _add_tags,
    "CreateTrail": _create,
    "GetEventSelectors": _on_trail("GetEventSelectors", "TrailName"),
    "ListTags": _list_tags,
    "PutEventSelectors": _on_trail("PutEventSelectors", "TrailName"),
    "RemoveTags": _remove_tags,
}
