"""Permissions by label: statements of a queue's policy that AddPermission writes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from outcrop.errors import ServiceError
from outcrop.identity import root_arn
from outcrop.queues.faults import invalid_value, missing
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sqs.references import get_own_queue
from outcrop.stores.queue_records import Queue
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.tables import to_ms

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_MAX_ACTIONS: Final = 7
_MAX_STATEMENTS: Final = 20
_ACTIONS: Final = (
    *("*", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
    *("GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue"),
)
"""What another account may be let do."""


@operation
async def add_permission(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    label, accounts, actions = params["Label"], params["AWSAccountIds"], params["Actions"]
    _check(label, accounts, actions)
    async with call.stores.resources.writing() as transaction:
        queue = await get_own_queue(call, params, transaction)
        policy = _policy(queue)
        if any(statement.get("Sid") == label for statement in policy["Statement"]):
            raise invalid_value("Label", label, "Already exists.")
        if len(policy["Statement"]) >= _MAX_STATEMENTS:
            raise ServiceError(
                "OverLimit", f"{_MAX_STATEMENTS} permissions are the most that a queue has."
            )
        statement = {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _one_or_all([root_arn(account) for account in accounts])},
            "Action": _one_or_all([f"SQS:{action}" for action in actions]),
            "Resource": queue.arn,
        }
        policy["Statement"].append(statement)
        await _put(call, transaction, queue, policy)
    return {}


@operation
async def remove_permission(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    label = params["Label"]
    async with call.stores.resources.writing() as transaction:
        queue = await get_own_queue(call, params, transaction)
        policy = _policy(queue)
        kept = [one for one in policy["Statement"] if one.get("Sid") != label]
        if len(kept) == len(policy["Statement"]):
            raise invalid_value("Label", label, "can't find label.")
        await _put(call, transaction, queue, {**policy, "Statement": kept})
    return {}


def _check(label: str, accounts: list[str], actions: list[str]) -> None:
    if not _LABEL.fullmatch(label):
        reason = "A label has 1 to 80 letters, digits, hyphens and underscores."
        raise invalid_value("Label", label, reason)
    if not accounts or not actions:
        raise missing("AWSAccountIds" if not accounts else "Actions")
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise invalid_value("PrincipalId", account, "Unable to verify.")
    if len(actions) > _MAX_ACTIONS:
        raise ServiceError(
            "OverLimit", f"{len(actions)} Actions were found, maximum allowed is {_MAX_ACTIONS}."
        )
    for action in actions:
        if action not in _ACTIONS:
            reason = "Only the queue owner is allowed to invoke this action."
            raise invalid_value("ActionName", f"SQS:{action}", reason)


def _policy(queue: Item[Queue]) -> dict[str, Any]:
    text = queue.record.attributes.get("Policy")
    if text is None:
        return {
            "Version": "2008-10-17",
            "Id": f"{queue.arn}/SQSDefaultPolicy",
            "Statement": list[Any](),
        }
    policy = cast(dict[str, Any], msgspec.json.decode(text))
    statements: Any = policy.get("Statement", [])
    return {**policy, "Statement": statements if isinstance(statements, list) else [statements]}


async def _put(
    call: Call, transaction: Transaction, queue: Item[Queue], policy: Mapping[str, Any]
) -> None:
    attributes = dict(queue.record.attributes)
    if policy["Statement"]:
        attributes["Policy"] = msgspec.json.encode(policy).decode()
    else:
        attributes.pop("Policy", None)
    record = msgspec.structs.replace(
        queue.record, attributes=attributes, modified_at_s=to_ms(call.now) // 1000
    )
    await transaction.put(replace(queue, record=record))


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
