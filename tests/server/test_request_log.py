"""The request log: what its lines hold, how it rotates, and that it costs no request anything."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, running_inside
from running_gateways import ACCOUNT

from outcrop.config import Records
from outcrop.journal.records import CallRecord, Content, Invocation
from outcrop.server.request_log import FILES, RequestLog, log_files

TITAN = "amazon.titan-text-express-v1"


def record(number: int = 0, **fields: Any) -> CallRecord:
    base: dict[str, Any] = {
        "request_id": f"id-{number}",
        "began_us": 1_700_000_000_123_456,
        "took_us": 45_678,
        "account": ACCOUNT,
        "region": "us-east-1",
        "service": "bedrock-runtime",
        "operation": "InvokeModel",
        "principal": "arn:aws:iam::123456789012:user/ann",
        "status": 200,
    }
    return CallRecord(**{**base, **fields})


def lines(folder: Path) -> list[dict[str, Any]]:
    found = [path.read_bytes() for path in reversed(log_files(folder)) if path.exists()]
    return [msgspec.json.decode(line) for line in b"".join(found).splitlines()]


def test_a_line_says_who_called_what_and_what_came_of_it(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, Records())
    call = Invocation(TITAN, TITAN, "text", engine="script", input_tokens=3, output_tokens=5)
    content = Content(b"{}", "application/json", b"{}", "application/json")
    log.write(record(invocation=call, content=content))
    log.write(record(1, status=429, error_code="ThrottlingException"))
    assert lines(tmp_path)[0] == {
        "time": "2023-11-14T22:13:20.123Z",
        "request_id": "id-0",
        "account": ACCOUNT,
        "region": "us-east-1",
        "principal": "arn:aws:iam::123456789012:user/ann",
        "service": "bedrock-runtime",
        "operation": "InvokeModel",
        "model": TITAN,
        "engine": "script",
        "input_tokens": 3,
        "output_tokens": 5,
        "latency_ms": 45,
        "status": 200,
        "error_code": "",
    }
    assert lines(tmp_path)[1]["error_code"] == "ThrottlingException"
    [file] = [path for path in log_files(tmp_path) if path.exists()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    log.close()


async def test_every_request_has_a_line_and_none_has_a_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        client = inside.client(ADMIN)
        body = b'{"inputText": "a private matter"}'
        await client.ask("bedrock-runtime", "InvokeModel", modelId=TITAN, body=body)
        with pytest.raises(ClientError):
            await client.ask("bedrock-runtime", "InvokeModel", modelId="no.model", body=body)
        await client.ask("sts", "GetCallerIdentity")
    found = lines(tmp_path / "data")
    assert [line["operation"] for line in found] == ["InvokeModel"] * 2 + ["GetCallerIdentity"]
    assert [line["status"] for line in found] == [200, 400, 200]
    assert found[0]["output_tokens"] > 0
    text = b"".join(path.read_bytes() for path in log_files(tmp_path / "data") if path.exists())
    assert b"private" not in text


async def test_prompts_are_there_when_the_operator_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"records": Records(prompts=True)}
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        body = b'{"inputText": "an open matter"}'
        client = inside.client(ADMIN)
        await client.ask("bedrock-runtime", "InvokeModel", modelId=TITAN, body=body)
    [line] = lines(tmp_path / "data")
    assert line["input"] == body.decode()
    assert "results" in line["output"]


async def test_no_file_is_made_where_requests_are_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch, records=Records(requests=False)) as inside:
        await inside.client(ADMIN).ask("sts", "GetCallerIdentity")
    assert not (tmp_path / "data" / "logs").exists()


def test_it_takes_no_more_room_than_it_may_and_keeps_the_newest(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, Records(requests_mib=1))
    principal = "p" * 20_000
    for number in range(100):
        log.write(record(number, principal=principal))
    log.close()
    sizes = [path.stat().st_size for path in log_files(tmp_path) if path.exists()]
    assert len(sizes) == FILES
    assert sum(sizes) <= 1024 * 1024
    ids = [line["request_id"] for line in lines(tmp_path)]
    assert ids == [f"id-{number}" for number in range(100 - len(ids), 100)]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == sorted(
        path.name for path in log_files(tmp_path)
    )


def test_a_line_that_a_kill_cut_off_spoils_no_other(tmp_path: Path) -> None:
    RequestLog(tmp_path, Records()).close()
    log_files(tmp_path)[0].write_bytes(b'{"time":"2023')
    log = RequestLog(tmp_path, Records())
    log.write(record(7))
    log.close()
    assert log_files(tmp_path)[0].read_bytes().splitlines()[1].startswith(b'{"time":"2023-11-14')


def test_a_full_disk_is_told_once_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = RequestLog(tmp_path, Records())
    is_full = True
    write = os.write

    def write_or_fail(file: int, data: bytes) -> int:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", write_or_fail)
    log.write(record(1))
    log.write(record(2))
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    is_full = False
    log.write(record(3))
    assert len(caplog.records) == 2
    assert [line["request_id"] for line in lines(tmp_path)] == ["id-3"]
    log.close()
