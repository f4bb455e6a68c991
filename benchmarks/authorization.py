"""What a request of a principal with 10 policies of 20 statements pays to be authorized.

In this process, without a server: one decision of the policy engine, uncached; and the authorizer
as the server asks it, for the first request of a principal and for the same one again.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import report

from outcrop.authorization.access import Access
from outcrop.authorization.authorizer import Authorizer
from outcrop.authorization.compiled import compile_policy
from outcrop.authorization.context import Setting
from outcrop.authorization.table import FIND_FACTS
from outcrop.identity import Caller, Principal
from outcrop.security.policy.document import Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide
from outcrop.server.state import open_state
from outcrop.stores.iam_names import iam_arn, new_unique_id
from outcrop.stores.iam_records import UserRecord
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place
from outcrop.wire.http import Request as HttpRequest

POLICIES = 10
STATEMENTS = 20
ACCOUNT = "111122223333"
USER = Subject(f"arn:aws:iam::{ACCOUNT}:user/ann", ACCOUNT, "user")
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
KEYS = {
    "aws:username": "ann",
    "aws:sourceip": "203.0.113.7",
    "aws:securetransport": "true",
    "aws:currenttime": "2026-01-01T00:00:00Z",
    "aws:principaltag/team": "red",
}

# Its action or its resource is another one, as most statements are about something else.
ELSEWHERE: list[dict[str, Any]] = [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:List*"], "Resource": "arn:aws:s3:::data/*"},
    {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"},
    {
        "Effect": "Deny",
        "Action": "bedrock:Delete*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    },
    {"Effect": "Allow", "Action": "bedrock:List*", "Resource": "*"},
]
# It is about the action and the resource, and one of its conditions does not hold.
ALMOST: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": ["bedrock:Get*", "bedrock:InvokeModel*"],
        "Resource": "arn:aws:bedrock:*::foundation-model/*",
        "Condition": {
            "StringLike": {"aws:PrincipalTag/Team": ["r?d", "${aws:username}"]},
            "NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]},
        },
    },
    {
        "Effect": "Deny",
        "NotAction": "iam:*",
        "Resource": "*",
        "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
    },
]
GRANT: dict[str, Any] = {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": MODEL}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="decisions of each kind")
    options = parser.parse_args()
    kinds = {
        "other_actions_then_allowed": [*_texts(ELSEWHERE), _text([GRANT])],
        "other_actions_and_denied": _texts(ELSEWHERE),
        "conditions_then_allowed": [*_texts(ALMOST), _text([GRANT])],
        "conditions_and_denied": _texts(ALMOST),
    }
    figures = {name: _measure(texts, options.rounds) for name, texts in kinds.items()}
    for name, texts in kinds.items():
        figures[name] |= asyncio.run(_authorize(texts, options.rounds))
    report.show("authorization", figures)


def _texts(statements: list[dict[str, Any]]) -> list[str]:
    """No two texts are the same: nothing is compiled for two of them at once."""
    several = [statements[index % len(statements)] for index in range(STATEMENTS)]
    return [
        _text([each | {"Sid": f"s{number}n{index}"} for index, each in enumerate(several)])
        for number in range(POLICIES)
    ]


def _text(statements: list[dict[str, Any]]) -> str:
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()


def _measure(texts: list[str], rounds: int) -> dict[str, Any]:
    began = time.perf_counter_ns()
    policies: tuple[Policy, ...] = tuple(parse_policy(text, "identity") for text in texts)
    parsed_ns = time.perf_counter_ns() - began
    request = Request(USER, "bedrock:InvokeModel", MODEL, None, KEYS)
    layers = Layers(identity=policies)
    taken_ns = [_decide_ns(time.perf_counter_ns, request, layers) for _ in range(rounds)]
    used_ns = [_decide_ns(time.thread_time_ns, request, layers) for _ in range(rounds)]
    return {
        "allowed": decide(request, layers).allowed,
        "decide_p50_us": round(statistics.median(taken_ns) / 1000, 1),
        "decide_p50_cpu_us": round(statistics.median(used_ns) / 1000, 1),
        "decide_p99_us": round(statistics.quantiles(taken_ns, n=100)[98] / 1000, 1),
        "parse_all_ms": round(parsed_ns / 1e6, 2),
    }


async def _authorize(texts: list[str], rounds: int) -> dict[str, Any]:
    """``first``: nothing of the principal was asked for before, but its policies are compiled, as
    they are soon after the start and when they are written."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_state(Path(folder), {}) as state:
            stores = state.stores
            user = await _make_user(stores, texts)
            authorizer = Authorizer(stores, FIND_FACTS, lambda _: None)
            for text in texts:
                compile_policy(text, "identity", "")
            caller = Caller(user, "AKIAEXAMPLE", "us-east-1", "header")
            request = HttpRequest("POST", "/", "", (("host", "x"),), b"", "x")
            setting = Setting(caller, "us-east-1", request, datetime.now(UTC))
            access = Access("bedrock:InvokeModel", MODEL)
            first_ns: list[int] = []
            for _ in range(rounds // 10):
                # As after any change of IAM: what follows from it is made anew.
                await _touch(stores)
                first_ns.append(await _authorized_ns(authorizer, setting, access))
            again_ns = [await _authorized_ns(authorizer, setting, access) for _ in range(rounds)]
    return {
        "authorize_first_p50_us": round(statistics.median(first_ns) / 1000, 1),
        "authorize_first_p99_us": round(statistics.quantiles(first_ns, n=100)[98] / 1000, 1),
        "authorize_again_p50_us": round(statistics.median(again_ns) / 1000, 1),
    }


async def _make_user(stores: Stores, texts: list[str]) -> Principal:
    account = stores.directory.accounts()[0].name
    inline = {f"policy-{number}": text for number, text in enumerate(texts)}
    record = UserRecord(id=new_unique_id("user"), inline=inline)
    async with stores.resources.writing() as transaction:
        arn = iam_arn(account, "user", "ann")
        await transaction.add(record, Place(account, "", "ann"), arn=arn)
    return await stores.identities.get_user(account, "ann")


async def _touch(stores: Stores) -> None:
    account = stores.directory.accounts()[0].name
    async with stores.resources.writing() as transaction:
        item = stores.directory.find_user(account, "ann")
        if item is not None:
            await transaction.put(item)


async def _authorized_ns(authorizer: Authorizer, setting: Setting, access: Access) -> int:
    began = time.perf_counter_ns()
    await authorizer.decide(setting, access)
    return time.perf_counter_ns() - began


def _decide_ns(clock: Callable[[], int], request: Request, layers: Layers) -> int:
    began = clock()
    decide(request, layers)
    return clock() - began


if __name__ == "__main__":
    main()
