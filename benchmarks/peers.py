"""The peers InvokeModel is measured against, in an environment of their own.

LiteLLM's proxy answers /v1/chat/completions from its own ``mock_response``, with its master key (it
refuses to start without) and one worker; llm-katan answers /model/…/invoke from its echo backend,
with one worker. Neither verifies a signature, and neither has a database.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import gateway
from load import Request

PACKAGES = ("litellm[proxy]>=1.100", "llm-katan>=0.22")

_LITELLM = """
model_list:
  - model_name: mocked
    litellm_params: {model: openai/mocked, api_key: none, mock_response: "Hello there."}
litellm_settings: {telemetry: false}
"""
_LITELLM_SETTINGS = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@contextmanager
def environment(existing: Path | None) -> Generator[Path]:
    """A virtual environment with the peers, thrown away afterwards unless it was there before."""
    if existing is not None and (existing / "bin" / "litellm").exists():
        yield existing
        return
    with tempfile.TemporaryDirectory(prefix="outcrop-peers-") as folder:
        place = existing or Path(folder)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        install = [place / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES]
        subprocess.run(install, check=True, stdout=sys.stderr)
        yield place


@contextmanager
def litellm(place: Path) -> Generator[tuple[gateway.Server, Request]]:
    with tempfile.TemporaryDirectory(prefix="outcrop-litellm-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_LITELLM, encoding="utf-8")
        port = gateway.free_port()
        command = [place / "bin" / "litellm", "--config", config, "--host", "127.0.0.1"]
        options = ["--port", str(port), "--num_workers", "1"]
        pinned = gateway.pinned([*map(str, command), *options], gateway.GATEWAY_CPU)
        log = Path(folder) / "log"
        key = f"sk-{secrets.token_hex(32)}"
        settings = {**os.environ, **_LITELLM_SETTINGS, "LITELLM_MASTER_KEY": key}
        with gateway.running(pinned, port, log, settings, "/health/liveliness") as server:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
            body = b'{"model":"mocked","messages":[{"role":"user","content":"Say hello"}]}'
            url = f"{server.url}/v1/chat/completions"
            yield server, Request(url, body, headers)


@contextmanager
def llm_katan(place: Path, path: str, body: bytes) -> Generator[tuple[gateway.Server, Request]]:
    with tempfile.TemporaryDirectory(prefix="outcrop-katan-") as folder:
        port = gateway.free_port()
        command = [
            str(place / "bin" / "llm-katan"),
            *("--model", "echo", "--backend", "echo", "--providers", "bedrock"),
            *("--host", "127.0.0.1", "--port", str(port), "--disable-dashboard"),
            *("--log-level", "ERROR", "--max-concurrent", "64"),
            *("--stats-file", f"{folder}/stats.json"),
        ]
        pinned = gateway.pinned(command, gateway.GATEWAY_CPU)
        log = Path(folder) / "log"
        with gateway.running(pinned, port, log, os.environ, "/health") as server:
            url = server.url + path
            yield server, Request(url, body, gateway.sign(url, body))
