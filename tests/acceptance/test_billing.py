"""What calls cost, from the SDK to the operator's bill, over kills and restarts."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operator_commands import outcrop
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

MODEL = "amazon.titan-text-express-v1"
PRICES = (200, 600)
"""Nano-dollars a token, input and output."""
BODY = json.dumps({"inputText": "How much is it?", "textGenerationConfig": {"maxTokenCount": 7}})


def call(gateway: Gateway, times: int) -> list[tuple[int, int]]:
    """So many calls, some at once: their input and output tokens."""
    client = gateway.client("bedrock-runtime", max_pool_connections=8)

    def ask(_: int) -> tuple[int, int]:
        answer = client.invoke_model(modelId=MODEL, body=BODY)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        answer["body"].read()
        counts = (headers[f"x-amzn-bedrock-{way}-token-count"] for way in ("input", "output"))
        input, output = map(int, counts)
        return input, output

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, range(times)))


def total(gateway: Gateway, months: Sequence[str], *arguments: str) -> dict[str, Any]:
    """Of one month, or of two where they change meanwhile."""
    bills = [
        json.loads(outcrop(gateway, "billing", "--month", month, "--json", *arguments))["total"]
        for month in sorted(set(months))
    ]
    return {name: sum(float(bill[name]) for bill in bills) for name in bills[0]}


def this_month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"


def test_every_call_is_on_the_bill_once_over_stops_and_kills(tmp_path: Path) -> None:
    months = [this_month()]
    gateway = start_gateway(tmp_path, SCRIPTED)
    used = call(gateway, 40)
    gateway.stop()
    gateway = start_gateway(tmp_path, SCRIPTED)
    used += call(gateway, 20)
    months.append(this_month())
    # What a second has passed over is written: a kill takes nothing of it.
    assert any(total(gateway, months)["requests"] == len(used) for _ in range(30))
    gateway.process.kill()
    gateway.process.wait(timeout=60)
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        bill = total(gateway, months, "--account", ACCOUNT, "--by", "principal")
    finally:
        gateway.stop()
    tokens = [sum(each[way] for each in used) for way in (0, 1)]
    assert (bill["requests"], bill["input_tokens"], bill["output_tokens"]) == (60, *tokens)
    nano = sum(count * price for count, price in zip(tokens, PRICES, strict=True))
    assert round(bill["cost"] * 10**9) == nano
    assert bill["lines_without_price"] == 0
