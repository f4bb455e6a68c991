"""Events to HTTPS endpoints of the test's own: signed in by connections, tried again, given up."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from event_worlds import PATTERN, allow, put, queue, queue_arn, received
from in_process import ADMIN, Client, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.jobs.delivery import NotDelivered
from outcrop.jobs.runner import JobRunner, Pace
from outcrop.services.events.deliveries import job_kinds
from outcrop.services.events.http_requests import Sent, ask

Answer = Callable[[web.Request], int]
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
GRANTED = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "events:InvokeApiDestination", "Resource": "*"},
}


@dataclass
class Api:
    """``statuses`` are answered in turn, the last one from then on."""

    statuses: list[int] = field(default_factory=lambda: [200])
    requests: list[tuple[str, str, Mapping[str, str], str]] = field(default_factory=list[Any])
    port: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.requests.append((request.method, str(request.rel_url), request.headers, body))
        if request.path == "/token":
            return web.json_response({"access_token": "t0ken", "expires_in": 3600})
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        headers = {"Location": "/token"} if status == 302 else {}
        return web.Response(status=status, headers=headers)


@dataclass
class World:
    inside: Inside
    client: Client
    api: Api
    dead: str


def _certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of the server, and of whoever trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "api.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


@asynccontextmanager
async def _delivering(inside: Inside, trusting: ssl.SSLContext) -> AsyncGenerator[None]:
    """By a runner that trusts the test's server."""
    deployment = inside.deployment
    await deployment.records.deliveries.close()
    stores, observing = deployment.state.stores, deployment.records.observing
    kinds = job_kinds(
        stores,
        observing.background,
        observing.events,
        deployment.config.services,
        tls=trusting,
    )
    runner = JobRunner(stores.database, kinds, node="test", pace=Pace(poll_s=0.05))
    runner.start()
    try:
        yield
    finally:
        await runner.close()


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    serving, trusting = _certificate(tmp_path)
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    server = web.AppRunner(app)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0, ssl_context=serving)
    await site.start()
    api.port = server.addresses[0][1]
    try:
        async with running_inside(tmp_path, monkeypatch) as inside, _delivering(inside, trusting):
            client = inside.client(ADMIN)
            dead = await queue(client, "dead")
            await allow(client, dead, f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r")
            yield World(inside, client, api, dead)
    finally:
        await server.cleanup()


async def _target(
    world: World, authorization: str, parameters: dict[str, Any], path: str = "/in", **more: Any
) -> None:
    client = world.client
    connection = await client.ask(
        "events",
        "CreateConnection",
        Name="c",
        AuthorizationType=authorization,
        AuthParameters=parameters,
    )
    made = await client.ask(
        "events",
        "CreateApiDestination",
        Name="d",
        ConnectionArn=connection["ConnectionArn"],
        InvocationEndpoint=f"https://127.0.0.1:{world.api.port}{path}",
        HttpMethod="POST",
    )
    trust, granted = (msgspec.json.encode(each).decode() for each in (TRUST, GRANTED))
    target = {
        "Id": "api",
        "Arn": made["ApiDestinationArn"],
        "RoleArn": await world.inside.role(ACCOUNT, "caller", trust, granted),
        "InputPath": "$.detail",
        "DeadLetterConfig": {"Arn": await queue_arn(client, world.dead)},
        "RetryPolicy": {"MaximumRetryAttempts": 1},
        **more,
    }
    await client.ask("events", "PutRule", Name="r", EventPattern=PATTERN)
    answer = await client.ask("events", "PutTargets", Rule="r", Targets=[target])
    assert answer["FailedEntries"] == []


API_KEY: dict[str, Any] = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "s3cret"}}


async def _requests(world: World, count: int) -> list[tuple[str, str, Mapping[str, str], str]]:
    """Once there are so many. A failed one is a dead letter at last, which ends the waiting."""
    while len(world.api.requests) < count:
        assert await received(world.client, world.dead) is None
    return world.api.requests


async def test_an_event_is_posted_with_all_that_connection_and_target_say(world: World) -> None:
    parameters = {
        **API_KEY,
        "InvocationHttpParameters": {
            "BodyParameters": [{"Key": "from", "Value": "outcrop"}],
            "QueryStringParameters": [{"Key": "who", "Value": "connection"}],
        },
    }
    own = {
        "PathParameterValues": ["$.detail.order"],
        "HeaderParameters": {"X-Kind": "$.detail-type"},
        "QueryStringParameters": {"who": "target", "n": "1"},
    }
    await _target(world, "API_KEY", parameters, "/in/*?a=b", HttpParameters=own)
    await put(world.client, '{"order":"x/y"}')
    [(method, url, headers, body)] = await _requests(world, 1)
    assert (method, url) == ("POST", "/in/x%2Fy?a=b&who=connection&n=1")
    assert headers["X-Key"] == "s3cret"
    assert headers["X-Kind"] == "ordered"
    assert msgspec.json.decode(body) == {"order": "x/y", "from": "outcrop"}


async def test_no_secret_of_a_connection_is_told_or_recorded(world: World) -> None:
    secret = {
        **API_KEY,
        "InvocationHttpParameters": {
            "HeaderParameters": [{"Key": "X-More", "Value": "s3cret", "IsValueSecret": True}]
        },
    }
    await _target(world, "API_KEY", secret)
    await put(world.client)
    await _requests(world, 1)
    told = await world.client.ask("events", "DescribeConnection", Name="c")
    await world.inside.deployment.records.observing.catch_up()
    asked = [{"AttributeKey": "EventName", "AttributeValue": "CreateConnection"}]
    trail = await world.client.ask("cloudtrail", "LookupEvents", LookupAttributes=asked)
    assert len(trail["Events"]) == 1
    assert "s3cret" not in f"{told} {trail}"


async def test_basic_credentials_are_sent_as_a_header(world: World) -> None:
    basic = {"BasicAuthParameters": {"Username": "u", "Password": "p"}}
    await _target(world, "BASIC", basic)
    await put(world.client)
    [(_, _, headers, body)] = await _requests(world, 1)
    assert headers["Authorization"] == "Basic dTpw"
    assert body == '{"order":1}'


async def test_a_token_is_fetched_once_and_anew_when_it_is_refused(world: World) -> None:
    oauth = {
        "OAuthParameters": {
            "ClientParameters": {"ClientID": "id", "ClientSecret": "s3cret"},
            "AuthorizationEndpoint": f"https://127.0.0.1:{world.api.port}/token",
            "HttpMethod": "POST",
        }
    }
    world.api.statuses = [200, 401, 200]
    await _target(world, "OAUTH_CLIENT_CREDENTIALS", oauth)
    await put(world.client)
    await _requests(world, 2)
    await put(world.client)
    requests = await _requests(world, 5)
    assert [url for _, url, _, _ in requests] == ["/token", "/in", "/in", "/token", "/in"]
    assert requests[0][3] == "grant_type=client_credentials&client_id=id&client_secret=s3cret"
    assert requests[1][2]["Authorization"] == "Bearer t0ken"


async def test_an_endpoint_that_fails_is_asked_again(world: World) -> None:
    world.api.statuses = [503, 200]
    await _target(world, "API_KEY", API_KEY)
    await put(world.client)
    assert len(await _requests(world, 2)) == 2


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (302, 1), (429, 2), (500, 2)])
async def test_what_an_endpoint_does_not_take_is_a_dead_letter(
    world: World, status: int, tries: int
) -> None:
    world.api.statuses = [status]
    await _target(world, "API_KEY", API_KEY)
    await put(world.client)
    message = await received(world.client, world.dead)
    assert message is not None
    assert str(status) in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    assert [url for _, url, _, _ in world.api.requests] == ["/in"] * tries


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://[::169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://100.100.100.200/",
        "http://127.0.0.1/",
    ],
)
async def test_link_local_addresses_and_plain_http_are_never_asked(url: str) -> None:
    with pytest.raises(NotDelivered, match="is not asked"):
        await ask(Sent("POST", url, {}, b""))


@pytest.mark.parametrize("url", ["https://2852039166/", "https://0xa9fea9fe/", "https://metadata/"])
async def test_names_that_lead_to_link_local_addresses_are_never_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    def look_up(*_asked: Any) -> Any:
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(NotDelivered, match=r"link-local|not a canonical"):
        await ask(Sent("POST", url, {}, b""))
