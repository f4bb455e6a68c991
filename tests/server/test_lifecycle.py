"""Starting, stopping and dying: state stays, engine processes do not, running streams finish."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from running_gateways import REAL, SCRIPTED, Gateway, start_gateway
from signed_http import Ask, Signer, send, send_signed

LIST = Ask("GET", "/foundation-models")
DEADLINE_S = 30


def claude(prompt: str, max_tokens: int) -> bytes:
    body = {"prompt": f"\n\nHuman: {prompt}\n\nAssistant:", "max_tokens_to_sample": max_tokens}
    return json.dumps(body).encode()


def outcrop(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "outcrop", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if "AWS" not in name},
    )


def port_of(gateway: Gateway) -> int:
    return urlsplit(gateway.url).port or 0


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(child) for child in listed.split()}


def is_running(pid: int) -> bool:
    try:
        # A zombie that waits for its parent runs no more.
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def stopping() -> Iterator[list[Gateway]]:
    """Gateways put here end with the test, however it ends."""
    started: list[Gateway] = []
    yield started
    for gateway in started:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


@pytest.mark.engine
def test_after_kill_9_nothing_is_lost_and_nothing_is_left(
    tmp_path: Path, stopping: list[Gateway]
) -> None:
    first = start_gateway(tmp_path, REAL)
    stopping.append(first)
    model = first.client("bedrock-runtime")
    model.invoke_model(modelId="anthropic.claude-v2", body=claude("hello", 4))
    model.invoke_model(modelId="amazon.titan-embed-text-v1", body=b'{"inputText":"hello"}')
    data = ["--data-dir", str(first.data_dir)]
    made = msgspec.json.decode(outcrop("keys", "create", "--json", *data).stdout)
    bound = outcrop("models", "bind", "cohere.*", "minilm", *data)
    assert bound.returncode == 0, bound.stderr
    engines = children(first.process.pid)
    assert len(engines) == 2
    first.process.kill()
    first.process.wait()
    until_gone(engines)
    second = start_gateway(tmp_path, REAL, "--port", str(port_of(first)))
    stopping.append(second)
    assert second.url == first.url
    signer = Signer(made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"])
    assert send_signed(second.url, LIST, signer).status == 200
    assert send(second.url, LIST).status == 200
    ask = Ask("POST", "/model/cohere.command-text-v14/invoke", body=b'{"prompt":"hello"}')
    refused = send(second.url, ask)
    assert refused.status == 400
    assert "engine" in refused.message
    second.stop()
    assert second.process.returncode == 0


def test_sigterm_lets_a_stream_finish_and_takes_no_more_requests(
    tmp_path: Path, stopping: list[Gateway]
) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    stopping.append(gateway)
    steps = [{"text": "first"}, {"sleep_s": 2}, {"text": " last"}]
    client = gateway.client("bedrock-runtime")
    answer = client.invoke_model_with_response_stream(
        modelId="anthropic.claude-v2", body=claude(f"script: {json.dumps(steps)}", 9)
    )
    events = iter(answer["body"])
    pieces = [json.loads(next(events)["chunk"]["bytes"])["completion"]]
    gateway.process.send_signal(signal.SIGTERM)
    until_refused(gateway)
    pieces += [json.loads(event["chunk"]["bytes"])["completion"] for event in events]
    assert "".join(pieces) == " first last"
    assert gateway.process.wait(timeout=60) == 0
    assert not (gateway.data_dir / "server.json").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port_of(gateway))) != 0


def until_refused(gateway: Gateway) -> None:
    """The signal has come through when a new request is turned away, by answer or by socket."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        assert time.monotonic() < deadline
        try:
            reply = send(gateway.url, LIST)
        except OSError:
            return
        if reply.status == 503:
            assert reply.error == "ServiceUnavailableException"
            return
        time.sleep(0.01)


def test_a_second_server_on_the_same_data_is_refused(scripted_gateway: Gateway) -> None:
    done = outcrop("serve", "--port", "0", "--data-dir", str(scripted_gateway.data_dir))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    pid = scripted_gateway.process.pid
    assert f"Another Outcrop server (process {pid}) uses the data directory" in done.stderr
    assert send(scripted_gateway.url, LIST).status == 200


def test_a_busy_port_is_refused(scripted_gateway: Gateway, tmp_path: Path) -> None:
    port = str(port_of(scripted_gateway))
    done = outcrop("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1\n", "prot"),
        ("[server]\nport = 'many'\n", "$.server.port"),
        ("[server]\nport = 70000\n", "port"),
        ("[engines.x]\nkind = 'nothing'\n", "[engines.x]"),
        ("[[bind]]\npattern = '*'\nengine = 'nobody'\n", "nobody"),
        ("[server\n", "is not valid TOML"),
        ("[server]\nhost = 'not a host'\n", "not a host"),
        ("[server]\ntls_certificate = '/nothing.pem'\n", "tls_"),
        (
            "[server]\ntls_certificate = '/nothing.pem'\ntls_key = '/nothing.key'\n",
            "/nothing",
        ),
    ],
)
def test_a_wrong_configuration_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "outcrop.toml"
    file.write_text(text, encoding="utf-8")
    arguments = ("--config", str(file), "--data-dir", str(tmp_path / "data"))
    done = outcrop("serve", *arguments, *(() if "port" in text else ("--port", "0")))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
