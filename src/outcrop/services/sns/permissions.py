"""Statements of a topic's policy, added and removed by their label."""

import re
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.sns.requests import Params, get_topic, invalid
from outcrop.services.sns.topic_settings import check_policy, require_action
from outcrop.stores.resources import Item, Transaction
from outcrop.stores.topic_records import Topic

_ACCOUNT: Final = re.compile(r"[0-9]{12}")


@operation
async def add_permission(call: Call, params: Params) -> dict[str, Any]:
    accounts, actions, label = params["AWSAccountId"], params["ActionName"], params["Label"]
    for action in actions:
        require_action(action)
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise invalid("AWSAccountId")
    if not (label and accounts and actions):
        raise invalid("Label, AWSAccountId and ActionName must not be empty")
    async with call.stores.resources.writing() as transaction:
        topic = await get_topic(transaction, call, params["TopicArn"])
        statements = _statements(topic)
        if any(statement.get("Sid") == label for statement in statements):
            raise invalid("Statement already exists")
        added = {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _one_or_all([f"arn:aws:iam::{each}:root" for each in accounts])},
            "Action": _one_or_all([f"SNS:{each}" for each in actions]),
            "Resource": topic.arn,
        }
        await _put(transaction, topic, [*statements, added])
    return {}


@operation
async def remove_permission(call: Call, params: Params) -> dict[str, Any]:
    async with call.stores.resources.writing() as transaction:
        topic = await get_topic(transaction, call, params["TopicArn"])
        statements = _statements(topic)
        left = [each for each in statements if each.get("Sid") != params["Label"]]
        if len(left) == len(statements):
            raise invalid("Label Reason: the policy has no such statement")
        if not left:
            raise invalid("Label Reason: a policy has one statement at least")
        await _put(transaction, topic, left)
    return {}


def _statements(topic: Item[Topic]) -> list[dict[str, Any]]:
    statements: Any = msgspec.json.decode(topic.record.policy)["Statement"]
    return (
        cast("list[dict[str, Any]]", statements) if isinstance(statements, list) else [statements]
    )


async def _put(
    transaction: Transaction, topic: Item[Topic], statements: list[dict[str, Any]]
) -> None:
    document = {**msgspec.json.decode(topic.record.policy), "Statement": statements}
    text = msgspec.json.encode(document).decode()
    check_policy(text)
    await transaction.put(replace(topic, record=msgspec.structs.replace(topic.record, policy=text)))


def _one_or_all(items: list[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else items
