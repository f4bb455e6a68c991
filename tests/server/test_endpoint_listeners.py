"""Listeners of private endpoints in the test's own process: TLS, HTTP/2, deletion under a stream,
regions, accounts and ports that are gone."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from certificates import write_certificate
from in_process import ADMIN, Client, Keys, running_inside
from raw_http import connected, http2, read_chunk, read_head, read_reply, render
from serving import Served, preset, served
from signed_http import ACCESS_KEY, SECRET_KEY, Ask, Reply, Signer, send_signed
from typer.testing import CliRunner

from outcrop.cli import app as commands
from outcrop.config import Server
from outcrop.server import listeners
from outcrop.server.app import App
from outcrop.server.listeners import Listeners
from outcrop.stores.account_removal import remove_account

BODY = json.dumps({"prompt": "\n\nHuman: hello\n\nAssistant:", "max_tokens_to_sample": 9}).encode()
INVOKE = Ask("POST", "/model/anthropic.claude-v2/invoke", body=BODY)
RUNTIME = "com.amazonaws.{}.bedrock-runtime"
TIMEOUT_S = 60
OTHER = "210987654321"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@dataclass
class Entered:
    """A gateway, a client of its main port, and where its private endpoint listens."""

    gateway: Served
    admin: Client
    endpoint: str
    url: str


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    preset(monkeypatch)


async def shown(client: Client, endpoint: str) -> dict[str, Any]:
    answer = await client.ask("ec2", "DescribeVpcEndpoints", VpcEndpointIds=[endpoint])
    return answer["VpcEndpoints"][0]


async def settled(client: Client, endpoint: str, state: str = "available") -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT_S):
        # A record of the store: nothing tells when it changes.
        while (found := await shown(client, endpoint))["State"] != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def closed(url: str) -> None:
    """Returns when nobody listens there any more."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                async with connected(url):
                    await asyncio.sleep(0.01)
            except ConnectionError:
                return


async def make(client: Client, **params: Any) -> str:
    (subnet,) = (await client.ask("ec2", "DescribeSubnets"))["Subnets"]
    made = await client.ask(
        "ec2",
        "CreateVpcEndpoint",
        VpcEndpointType="Interface",
        ServiceName=RUNTIME.format(client.region),
        VpcId=subnet["VpcId"],
        SubnetIds=[subnet["SubnetId"]],
        PrivateDnsEnabled=False,
        **params,
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


@asynccontextmanager
async def entered(
    folder: Path, server: Server | None = None, region: str = "us-east-1"
) -> AsyncGenerator[Entered]:
    async with served(folder, server) as gateway:
        admin = Client(App(gateway.deployment), ADMIN, region=region)
        endpoint = await make(admin)
        found = await settled(admin, endpoint)
        scheme = gateway.url.partition(":")[0]
        url = f"{scheme}://{found['DnsEntries'][0]['DnsName']}"
        yield Entered(gateway, admin, endpoint, url)


def streaming(*steps: object, tokens: int = 60_000) -> Ask:
    text = f"script: {json.dumps(steps)}"
    body = {
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": tokens},
    }
    path = "/model/us.anthropic.claude-sonnet-4-20250514-v1:0/converse-stream"
    return Ask("POST", path, body=json.dumps(body).encode())


async def asked(url: str, signer: Signer | None = None, ask: Ask = INVOKE) -> Reply:
    return await asyncio.to_thread(send_signed, url, ask, signer or Signer())


async def test_an_endpoint_speaks_tls_where_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    server = Server(port=0, tls_certificate=certificate, tls_key=key)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    async with entered(tmp_path, server) as inside:
        context = ssl.create_default_context(cafile=str(certificate))
        async with connected(inside.url, context) as (reader, writer):
            writer.write(render(inside.url, INVOKE) + BODY)
            assert (await read_reply(reader)).json["completion"] == " hello"
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with http2(inside.url, context) as client:
            assert (await client.reply(await client.send(INVOKE))).json["completion"] == " hello"
        assert await asyncio.to_thread(boto3_completion, inside.url) == " hello"
        async with connected(inside.url.replace("https", "http")) as (reader, writer):
            writer.write(render(inside.url, INVOKE) + BODY)
            assert b"200" not in await reader.read()


def boto3_completion(url: str) -> str:
    # boto3 has no stubs of its own.
    client = cast(Any, boto3).client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    answer = client.invoke_model(modelId="anthropic.claude-v2", body=BODY)
    completion = json.loads(answer["body"].read())["completion"]
    client.close()
    return completion


async def test_a_changed_policy_decides_the_next_request_of_a_kept_connection(
    tmp_path: Path,
) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    async with (
        entered(tmp_path) as inside,
        connected(inside.url) as (reader, writer),
        http2(inside.url) as client,
    ):
        for change, status in (
            ({"ResetPolicy": True}, 200),
            ({"PolicyDocument": document}, 403),
            ({"ResetPolicy": True}, 200),
        ):
            await inside.admin.ask(
                "ec2", "ModifyVpcEndpoint", VpcEndpointId=inside.endpoint, **change
            )
            writer.write(render(inside.url, INVOKE) + BODY)
            assert (await read_reply(reader)).status == status
            assert (await client.reply(await client.send(INVOKE))).status == status


async def test_a_stream_goes_on_while_its_endpoint_is_deleted(tmp_path: Path) -> None:
    ask = streaming({"text": "one"}, {"pause": "go"}, {"text": " two"})
    async with (
        entered(tmp_path) as inside,
        connected(inside.url) as (reader, writer),
        connected(inside.url) as (idle_reader, idle_writer),
    ):
        engine = await inside.gateway.engine()
        idle_writer.write(render(inside.url, INVOKE) + BODY)
        assert (await read_reply(idle_reader)).status == 200
        writer.write(render(inside.url, ask) + ask.body)
        assert (await read_head(reader))[0] == 200
        deleting = {"VpcEndpointIds": [inside.endpoint]}
        assert (await inside.admin.ask("ec2", "DeleteVpcEndpoints", **deleting))[
            "Unsuccessful"
        ] == []
        await settled(inside.admin, inside.endpoint, "deleting")
        await closed(inside.url)
        idle_writer.write(render(inside.url, INVOKE) + BODY)
        assert (await read_reply(idle_reader)).status == 503
        engine.release("go")
        text = b""
        while piece := await read_chunk(reader):
            text += piece
        assert b" two" in text
        assert b"metadata" in text
        async with asyncio.timeout(TIMEOUT_S):
            assert await idle_reader.read() == b""
        with pytest.raises(ClientError, match=r"NotFound"):
            await settled(inside.admin, inside.endpoint, "gone")


async def test_a_long_stream_over_http2_comes_whole(tmp_path: Path) -> None:
    async with entered(tmp_path) as inside, http2(inside.url) as client:
        numbers = [await client.send(streaming({"tokens": 5_000})) for _ in range(3)]
        replies = [await client.reply(number) for number in numbers]
    assert [reply.status for reply in replies] == [200] * 3
    assert all(len(reply.body) > 500_000 for reply in replies)
    assert all(b"messageStop" in reply.body[-2000:] for reply in replies)


async def test_two_hundred_connections_at_once(tmp_path: Path) -> None:
    async with entered(tmp_path) as inside:
        message = render(inside.url, INVOKE) + BODY
        together = asyncio.Barrier(200)

        async def ask() -> int:
            async with connected(inside.url) as (reader, writer):
                await together.wait()
                writer.write(message)
                return (await read_reply(reader)).status

        async with asyncio.timeout(TIMEOUT_S):
            statuses = await asyncio.gather(*[ask() for _ in range(200)])
    assert statuses == [200] * 200


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_requests_are_signed_for_the_region_of_the_endpoint(
    region: str, tmp_path: Path
) -> None:
    async with entered(tmp_path, region=region) as inside:
        for signed_for in ("us-east-1", "eu-west-1", "region"):
            reply = await asked(inside.url, Signer(region=signed_for))
            assert reply.status == (200 if signed_for == region else 403)
            if reply.status == 403:
                assert reply.error == "InvalidSignatureException"
                assert "scoped to a valid region" in reply.message
        elsewhere = Client(
            inside.admin.app, ADMIN, region={"us-east-1": "eu-west-1"}.get(region, "us-east-1")
        )
        assert (await elsewhere.ask("ec2", "DescribeVpcEndpoints"))["VpcEndpoints"] == []


async def test_nobody_passes_by_the_relay(tmp_path: Path) -> None:
    """The server behind an endpoint has a port of its own: whoever finds it is refused."""
    async with entered(tmp_path) as inside:
        own = {inside.url, inside.gateway.url}
        hidden = [url for url in await asyncio.to_thread(listening_here) if url not in own]
        replies = [await asked(url) for url in hidden]
    assert [(reply.status, reply.error) for reply in replies] == [(403, "AccessDeniedException")]


def listening_here() -> list[str]:
    """The ports of this process, as the kernel lists them."""
    inodes = {
        path.readlink().name.removeprefix("socket:[").rstrip("]")
        for path in Path("/proc/self/fd").iterdir()
        if path.is_symlink() and str(path.readlink()).startswith("socket:")
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        f"http://127.0.0.1:{int(row[1].partition(':')[2], 16)}"
        for row in rows
        if row[3] == "0A" and row[9] in inodes
    ]


@pytest.mark.parametrize("turns", range(6))
async def test_the_listeners_end_though_an_endpoint_has_changed_just_before(
    turns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``turns`` of the event loop before, whichever of them wakes the one who follows."""
    async with running_inside(tmp_path, monkeypatch) as inside:
        following = Listeners(inside.deployment, inside.app, "127.0.0.1")
        await following.start()
        for _ in range(3):
            await asyncio.sleep(0)
        inside.deployment.endpoints.on_change()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(TIMEOUT_S):
            await following.close()


async def test_an_endpoint_goes_with_its_account(tmp_path: Path) -> None:
    async with served(tmp_path) as gateway:
        stores = gateway.deployment.state.stores
        await stores.identities.create_account(OTHER, OTHER)
        ann = await stores.identities.create_user(OTHER, "ann", attached=[ADMINISTRATOR])
        key = await stores.keys.create_access_key(ann)
        client = Client(App(gateway.deployment), Keys.of(key))
        found = await settled(client, await make(client))
        url = f"http://{found['DnsEntries'][0]['DnsName']}"
        signer = Signer(key.id, key.secret)
        assert (await asked(url, signer)).status == 200
        assert (await asked(url)).status == 200
        own = Client(client.app, ADMIN)
        assert (await own.ask("ec2", "DescribeVpcEndpoints"))["VpcEndpoints"] == []
        await remove_account(stores.resources, OTHER, force=True)
        await closed(url)


async def test_a_port_that_is_taken_is_told_and_taken_again_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with entered(tmp_path) as inside:
        endpoint, url = inside.endpoint, inside.url
    host, _, port = url.removeprefix("http://").partition(":")
    thief = socket.create_server((host, int(port)))
    monkeypatch.setattr(listeners, "LOOK_AGAIN_S", 0.05)
    with thief:
        async with served(tmp_path) as gateway:
            admin = Client(App(gateway.deployment), ADMIN)
            failed = await settled(admin, endpoint, "failed")
            assert "in use" in failed["LastError"]["Message"]
            assert failed["DnsEntries"] == []
            assert (await asked(gateway.url)).status == 200
            command_line = commands.build()
            for command in ("doctor", "health"):
                arguments = [command, "--data-dir", str(tmp_path / "data")]
                told = await asyncio.to_thread(CliRunner().invoke, command_line, arguments)
                assert told.exit_code == 1
                assert f"private endpoint {endpoint}: It cannot listen: " in told.output
            thief.close()
            await settled(admin, endpoint)
            assert (await asked(url)).status == 200
