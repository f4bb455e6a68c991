"""SNS in the service authorization reference: what is done with a topic asks for leave on it.

Links in messages are not signed: ConfirmSubscription is proven by its token, Unsubscribe by the
subscription's ARN, which only its endpoint and owners know.
"""

from collections.abc import Callable, Mapping, Sequence

from outcrop.authorization.access import Access, Asked, Facts, KeyValues, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place
from outcrop.stores.topic_records import Topic, read_topic_arn, topic_arn

_CONFIRM = "SNS:ConfirmSubscription"

Keys = Callable[[Asked], KeyValues]


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    name = read_topic_arn(access.resource)
    if name is None:
        return None
    async with stores.resources.reading() as view:
        topic = await view.find(Topic, Place(name.account, name.region, name.name))
    if access.action == _CONFIRM:
        # The endpoint's owner confirms, in whatever account: topics' policies have no word for it.
        return Facts(policy=topic.record.policy if topic else None)
    if topic is None:
        # Whether another account has such a topic is not told.
        return Facts(account=name.account)
    return Facts(account=name.account, tags=topic.tags, policy=topic.record.policy)


def _nothing(_asked: Asked) -> KeyValues:
    return {}


def _on_topic(action: str, keys: Keys = _nothing, *, member: str = "TopicArn") -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return [Access(f"SNS:{action}", asked.params.get(member) or "*", keys(asked))]

    return rule


def _on_all(action: str) -> Rule:
    return lambda _asked: [Access(f"SNS:{action}")]


def _unless_anonymous(rule: Rule) -> Rule:
    def unless(asked: Asked) -> Sequence[Access]:
        return [] if asked.caller.principal.kind == "anonymous" else rule(asked)

    return unless


def _create(asked: Asked) -> Sequence[Access]:
    arn = topic_arn(asked.region, asked.account, asked.params["Name"])
    keys = request_tag_keys(asked.params.get("Tags"))
    actions = ["CreateTopic", *(["TagResource"] if asked.params.get("Tags") else [])]
    return [Access(f"SNS:{action}", arn, keys) for action in actions]


def _subscribed(asked: Asked) -> KeyValues:
    keys: dict[str, str] = {"sns:protocol": asked.params["Protocol"]}
    if "Endpoint" in asked.params:
        keys["sns:endpoint"] = asked.params["Endpoint"]
    return keys


def _publish(asked: Asked) -> Sequence[Access]:
    params = asked.params
    return [Access("SNS:Publish", params.get("TopicArn") or params.get("TargetArn") or "*")]


RULES: Mapping[str, Rule] = {
    **{
        name: _on_topic(name)
        for name in (
            "AddPermission",
            "DeleteTopic",
            "GetTopicAttributes",
            "ListSubscriptionsByTopic",
            "RemovePermission",
            "SetTopicAttributes",
        )
    },
    **{
        name: _on_all(name)
        for name in (
            "GetSubscriptionAttributes",
            "ListSubscriptions",
            "ListTopics",
            "SetSubscriptionAttributes",
        )
    },
    "ConfirmSubscription": _unless_anonymous(_on_topic("ConfirmSubscription")),
    "CreateTopic": _create,
    "ListTagsForResource": _on_topic("ListTagsForResource", member="ResourceArn"),
    "Publish": _publish,
    "PublishBatch": _publish,
    "Subscribe": _on_topic("Subscribe", _subscribed),
    "TagResource": _on_topic(
        "TagResource",
        lambda asked: request_tag_keys(asked.params["Tags"]),
        member="ResourceArn",
    ),
    "Unsubscribe": _unless_anonymous(_on_all("Unsubscribe")),
    "UntagResource": _on_topic(
        "UntagResource",
        lambda asked: removed_tag_keys(asked.params["TagKeys"]),
        member="ResourceArn",
    ),
}
