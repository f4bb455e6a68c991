"""A stream that would go on for ever does not keep its server from stopping."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import EventStreamError
from running_gateways import SCRIPTED, start_gateway
from signed_http import Ask, send

DEADLINE_S = 60


def test_a_second_signal_ends_what_still_runs_in_its_own_form(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        text = f"script: {json.dumps([{'text': 'first'}, {'pause': 'for ever'}])}"
        answer = gateway.client("bedrock-runtime").converse_stream(
            modelId="anthropic.claude-3-haiku-20240307-v1:0",
            messages=[{"role": "user", "content": [{"text": text}]}],
        )
        with closing(answer["stream"]) as stream:
            events = iter(stream)
            assert "messageStart" in next(events)
            gateway.process.send_signal(signal.SIGTERM)
            until_draining(gateway.url)
            assert gateway.process.poll() is None
            gateway.process.send_signal(signal.SIGTERM)
            with pytest.raises(EventStreamError, match="shutting down"):
                list(events)
        assert gateway.process.wait(timeout=DEADLINE_S) == 0
    finally:
        gateway.process.kill()
        gateway.process.wait()


def test_requests_that_wait_for_something_are_answered_at_once(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        sqs, logs = gateway.client("sqs"), gateway.client("logs", inject_host_prefix=False)
        url = sqs.create_queue(QueueName="empty")["QueueUrl"]
        logs.create_log_group(logGroupName="quiet")
        group = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
        session = logs.start_live_tail(logGroupIdentifiers=[group])["responseStream"]
        with ThreadPoolExecutor() as threads, closing(session):
            polls = [
                threads.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
                for _ in range(2)
            ]
            updates = iter(session)
            # The polls began before the second update, if not before the first.
            for _ in range(3):
                next(updates)
            gateway.process.send_signal(signal.SIGTERM)
            # Unless they are woken, the polls have the most of their 20 s left.
            assert gateway.process.wait(timeout=12) == 0
            assert all("Messages" not in poll.result() for poll in polls)
            with pytest.raises(EventStreamError, match="shutting down"):
                list(updates)
    finally:
        gateway.process.kill()
        gateway.process.wait()


def until_draining(url: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while send(url, Ask("GET", "/_outcrop/health")).status != 503:
        assert time.monotonic() < deadline
        time.sleep(0.01)
