"""One decision of the policy engine for a principal with 10 policies of 20 statements, uncached.

In this process, without a server: what the first call of a principal pays beside everything else.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import report

from outcrop.security.policy.document import Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide

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
    report.show("authorization", figures)


def _texts(statements: list[dict[str, Any]]) -> list[str]:
    several = [statements[index % len(statements)] for index in range(STATEMENTS)]
    return [_text(several)] * POLICIES


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


def _decide_ns(clock: Callable[[], int], request: Request, layers: Layers) -> int:
    began = clock()
    decide(request, layers)
    return clock() - began


if __name__ == "__main__":
    main()
