"""Calls of models as the journal holds them, for tests of their logs."""

from typing import Any

import msgspec

from outcrop.journal.records import CallRecord, Content, Invocation

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:iam::{ACCOUNT}:user/ann"
BEGAN_US = 1_700_000_000_123_456
"""2023-11-14T22:13:20Z and some."""


def call(number: int = 0, **changes: Any) -> CallRecord:
    """``content`` and ``invocation`` may be given as members of them."""
    content: dict[str, Any] = {
        "input": b'{"prompt": "hi"}',
        "input_type": "application/json",
        "output": b'{"completion": "ho"}',
        "output_type": "application/json",
        **changes.pop("content", {}),
    }
    invocation: dict[str, Any] = {
        "model_id": "anthropic.claude-v2",
        "model": "anthropic.claude-v2",
        "modality": "text",
        "region": REGION,
        "input_tokens": 3,
        "output_tokens": 5,
        **changes.pop("invocation", {}),
    }
    fields: dict[str, Any] = {
        "request_id": f"00000000-0000-0000-0000-{number:012}",
        "began_us": BEGAN_US + number,
        "took_us": 1000,
        "account": ACCOUNT,
        "region": REGION,
        "service": "bedrock-runtime",
        "operation": "InvokeModel",
        "principal": ARN,
        "status": 200,
        "content": Content(**content),
        "invocation": Invocation(**invocation),
        **changes,
    }
    return CallRecord(**fields)


def without(record: CallRecord, name: str) -> CallRecord:
    fields: dict[str, Any] = {**msgspec.structs.asdict(record), name: None}
    return CallRecord(**fields)


def read(line: bytes) -> dict[str, Any]:
    return msgspec.json.decode(line, type=dict[str, Any])
