"""TLS on the same port: ALPN chooses HTTP/1.1 or HTTP/2; what botocore sends over TLS alone."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
import pytest_asyncio
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.credentials import Credentials
from certificates import write_certificate
from raw_http import connected, http2, read_reply, render
from serving import Served, preset, served
from signed_http import ACCESS_KEY, SECRET_KEY, Ask

from outcrop.config import Server

BODY = json.dumps({"prompt": "\n\nHuman: hello\n\nAssistant:", "max_tokens_to_sample": 9}).encode()
INVOKE = Ask("POST", "/model/anthropic.claude-v2/invoke", body=BODY)


@dataclass
class Secured:
    gateway: Served
    certificate: Path
    folder: Path

    def context(self, *protocols: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


@pytest_asyncio.fixture
async def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Secured]:
    preset(monkeypatch)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    server = Server(port=0, tls_certificate=certificate, tls_key=key)
    async with served(tmp_path, server) as gateway:
        yield Secured(gateway, certificate, tmp_path)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
async def test_http1_over_tls(secured: Secured, protocols: tuple[str, ...]) -> None:
    url = secured.gateway.url
    assert url.startswith("https://")
    async with connected(url, secured.context(*protocols)) as (reader, writer):
        writer.write(render(url, INVOKE) + BODY)
        assert (await read_reply(reader)).json["completion"] == " hello"


async def test_http2_over_tls_is_chosen_by_alpn(secured: Secured) -> None:
    url, context = secured.gateway.url, secured.context("h2", "http/1.1")
    async with connected(url, context) as (_, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    async with http2(url, context) as client:
        assert (await client.reply(await client.send(INVOKE))).json["completion"] == " hello"


async def test_clear_text_on_the_tls_port_harms_nobody(secured: Secured) -> None:
    url = secured.gateway.url
    async with connected(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200" not in await reader.read()
    async with connected(url, secured.context()) as (reader, writer):
        writer.write(render(url, INVOKE) + BODY)
        assert (await read_reply(reader)).status == 200


@pytest.mark.parametrize("kind", ["short", "long"])
async def test_boto3_calls_with_an_api_key_over_tls(
    secured: Secured, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await asyncio.to_thread(api_key, secured, kind)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
    await secured.gateway.deployment.state.stores.directory.load()

    def ask() -> Any:
        answer = client(secured).invoke_model(modelId="anthropic.claude-v2", body=BODY)
        return msgspec.json.decode(answer["body"].read())

    assert (await asyncio.to_thread(ask))["completion"] == " hello"


def api_key(secured: Secured, kind: str) -> str:
    if kind == "short":
        return BedrockTokenGenerator().get_token(Credentials(ACCESS_KEY, SECRET_KEY), "us-east-1")
    data_dir = str(secured.folder / "data")
    command = [sys.executable, "-m", "outcrop", "keys", "create", "--bearer", "--json"]
    made = subprocess.check_output([*command, "--data-dir", data_dir])
    return msgspec.json.decode(made)["AWS_BEARER_TOKEN_BEDROCK"]


def client(secured: Secured) -> Any:
    # boto3 has no stubs of its own.
    return boto3.client(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=secured.gateway.url,
        verify=str(secured.certificate),
    )
