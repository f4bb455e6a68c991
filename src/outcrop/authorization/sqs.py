"""SQS in the service authorization reference: each operation on its queue, batches as their one."""

from collections.abc import Mapping, Sequence

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.queues.addresses import find_queue_name
from outcrop.stores.opened import Stores
from outcrop.stores.queue_records import Queue, queue_arn

_ARN_PARTS = 6


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    parts = access.resource.split(":")
    if len(parts) != _ARN_PARTS:
        return None
    async with stores.resources.reading() as view:
        queue = await view.find_arn(Queue, access.resource)
    if queue is None:
        # Of another account, its owner alone decides; nobody learns whether it is there.
        return Facts(account=parts[4])
    return Facts(
        account=queue.place.account,
        tags=queue.tags,
        policy=queue.record.attributes.get("Policy"),
    )


def _on_queue(action: str) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        params = asked.params
        keys = {**request_tag_keys(params.get("Tags"))}
        if "TagKeys" in params:
            keys |= removed_tag_keys(params["TagKeys"])
        return [Access(f"sqs:{action}", _resource(asked, params["QueueUrl"]), keys)]

    return rule


def _resource(asked: Asked, url: str) -> str:
    """What the handler finds by the URL; one that is no queue's, it refuses."""
    named = find_queue_name(url)
    return "*" if named is None else queue_arn(asked.region, *named)


def _create(asked: Asked) -> Sequence[Access]:
    tags = asked.params.get("tags")
    resource = queue_arn(asked.region, asked.account, asked.params["QueueName"])
    actions = ["CreateQueue", *(["TagQueue"] if tags else [])]
    return [Access(f"sqs:{action}", resource, request_tag_keys(tags)) for action in actions]


def _find_url(asked: Asked) -> Sequence[Access]:
    owner = asked.params.get("QueueOwnerAWSAccountId") or asked.account
    return [Access("sqs:GetQueueUrl", queue_arn(asked.region, owner, asked.params["QueueName"]))]


_PLAIN = (
    "AddPermission",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "DeleteQueue",
    "GetQueueAttributes",
    "ListDeadLetterSourceQueues",
    "ListQueueTags",
    "PurgeQueue",
    "ReceiveMessage",
    "RemovePermission",
    "SendMessage",
    "SetQueueAttributes",
    "TagQueue",
    "UntagQueue",
)
_BATCHES = ("ChangeMessageVisibility", "DeleteMessage", "SendMessage")

RULES: Mapping[str, Rule] = {
    **{name: _on_queue(name) for name in _PLAIN},
    **{f"{name}Batch": _on_queue(name) for name in _BATCHES},
    "CreateQueue": _create,
    "GetQueueUrl": _find_url,
}
