"""Clients of an application in the test's own process: botocore writes, signs and reads, without a
socket in between. Quick enough for thousands of calls, and the state behind can be looked at."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.parsers
import botocore.serialize
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from running_gateways import ACCESS_KEY, ACCOUNT, OPEN_SETTINGS, SECRET_KEY

from outcrop.config import Binding, Config, Scripted, Server
from outcrop.identity import AccessKey, Caller
from outcrop.server.app import App
from outcrop.server.deployment import Deployment, open_deployment
from outcrop.services.call import Call
from outcrop.stores.iam_names import iam_arn, new_unique_id
from outcrop.stores.iam_records import RoleRecord, UserRecord
from outcrop.stores.resources import Item, Place
from outcrop.wire.http import Request, Response
from outcrop.wire.spec import load_service

HOST = "127.0.0.1:4510"
REGION = "us-east-1"


@dataclass(frozen=True)
class Keys:
    """What a client signs with."""

    id: str
    secret: str
    token: str | None = None

    @classmethod
    def of(cls, key: AccessKey) -> "Keys":
        return cls(key.id, key.secret, key.session_token)

    @classmethod
    def answered(cls, answer: Mapping[str, Any]) -> "Keys":
        """The credentials in an answer of STS."""
        found = answer["Credentials"]
        return cls(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


ADMIN = Keys(ACCESS_KEY, SECRET_KEY)
"""The administrator of the account that ``running_inside`` begins with."""


class Client:
    """A client of one application. A refusal is raised as botocore's ``ClientError``."""

    def __init__(self, app: App, keys: Keys, *, region: str = REGION) -> None:
        self.app = app
        self.keys = keys
        self.region = region

    async def ask(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        response = await self.app.handle(self.request(service, operation, **params))
        return parse(service, operation, response.status, response.headers, await whole(response))

    def request(
        self, service: str, operation: str, *, expires_s: int | None = None, **params: Any
    ) -> Request:
        """Signed now; in its query where ``expires_s`` is given."""
        unsigned = unsigned_request(service, operation, params)
        credentials = Credentials(self.keys.id, self.keys.secret, self.keys.token)
        name = load_service(service).signing_name
        auth = cast(Any, botocore.auth)
        if expires_s is not None:
            signer = auth.S3SigV4QueryAuth if service == "s3" else auth.SigV4QueryAuth
            signer(credentials, name, self.region, expires=expires_s).add_auth(unsigned)
        else:
            signer = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
            signer(credentials, name, self.region).add_auth(unsigned)
        return as_received(unsigned)


@cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(cast(Any, Loader()).load_service_model(service, "service-2"), service)


def unsigned_request(service: str, operation: str, params: Mapping[str, Any]) -> Any:
    model = cast(Any, _model(service))
    write = cast(Any, botocore.serialize).create_serializer(model.resolved_protocol, False)
    parts = write.serialize_to_request(dict(params), model.operation_model(operation))
    awsrequest = cast(Any, botocore.awsrequest)
    awsrequest.prepare_request_dict(parts, endpoint_url=f"http://{HOST}", context={})
    return awsrequest.create_request_object(parts)


def as_received(request: Any) -> Request:
    """A prepared request of botocore as the server reads it."""
    prepared = request.prepare()
    parts = urlsplit(str(prepared.url))
    headers = [(name.lower(), _text(value)) for name, value in prepared.headers.items()]
    if not any(name == "host" for name, _ in headers):
        headers.insert(0, ("host", parts.netloc))
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    return Request(prepared.method, parts.path, parts.query, tuple(headers), body, parts.netloc)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    pieces: list[bytes] = []
    async with aclosing(cast(Any, response.body)) as body:
        async for piece in cast(AsyncIterator[bytes], body):
            pieces.append(piece)
    return b"".join(pieces)


def parse(
    service: str, operation: str, status: int, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    model = cast(Any, _model(service))
    read = cast(Any, botocore.parsers).create_parser(model.resolved_protocol)
    lower = cast(Any, botocore.awsrequest).HeadersDict(dict(headers))
    answer = {"status_code": status, "headers": lower, "body": body}
    parsed = read.parse(answer, model.operation_model(operation).output_shape)
    if status >= 300:
        raise ClientError(parsed, operation)
    return parsed


@dataclass
class Inside:
    """The state behind an application, written to directly."""

    app: App
    deployment: Deployment

    async def user(self, account: str, name: str, policy: str | None = None, **fields: Any) -> Keys:
        inline = {} if policy is None else {"granted": policy}
        record = UserRecord(id=new_unique_id("user"), inline=inline, **fields)
        stores = self.deployment.state.stores
        async with stores.resources.writing() as transaction:
            await transaction.add(
                record, Place(account, "", name), arn=iam_arn(account, "user", name)
            )
        owner = await stores.identities.get_user(account, name)
        return Keys.of(await stores.keys.create_access_key(owner))

    async def role(
        self,
        account: str,
        name: str,
        trust: str,
        policy: str | None = None,
        *,
        path: str = "/",
        tags: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> str:
        """Its ARN."""
        inline = {} if policy is None else {"granted": policy}
        record = RoleRecord(
            id=new_unique_id("role"), trust=trust, path=path, inline=inline, **fields
        )
        arn = iam_arn(account, "role", name, path)
        async with self.deployment.state.stores.resources.writing() as transaction:
            await transaction.add(record, Place(account, "", name), arn=arn, tags=tags)
        return arn

    async def change(self, item: Item[Any]) -> None:
        async with self.deployment.state.stores.resources.writing() as transaction:
            await transaction.put(item)

    async def remove(self, type: type[Any], account: str, name: str) -> None:
        async with self.deployment.state.stores.resources.writing() as transaction:
            await transaction.remove(type, Place(account, "", name))

    def client(self, keys: Keys) -> Client:
        return Client(self.app, keys)

    def caller(self, keys: Keys) -> Caller:
        """Who signs with these keys."""
        if keys.token is None:
            key = self.deployment.credentials.find_access_key(keys.id)
        else:
            key = self.deployment.credentials.find_session_key(keys.id, keys.token)
        assert key is not None
        return Caller(key.principal, key.id, REGION, "header", key.expires_at, key.session)

    def call(self, caller: Caller, now: datetime | None = None) -> Call:
        """As a handler would have it: of an operation that does not matter."""
        request = Request("POST", "/", "", (("host", HOST),), b"", HOST)
        return self.deployment.call(
            load_service("bedrock").operations["ListFoundationModels"],
            caller,
            REGION,
            request,
            "00000000-0000-0000-0000-000000000000",
            now or datetime.now(UTC),
        )


@asynccontextmanager
async def running_inside(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *accounts: str, **settings: Any
) -> AsyncGenerator[Inside]:
    """``accounts`` are made besides the first one. ``settings`` are fields of ``Config``, which win
    over the open configuration."""
    monkeypatch.setenv("OUTCROP_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("OUTCROP_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("OUTCROP_ACCOUNT_ID", ACCOUNT)
    scripted: dict[str, Any] = {
        "engines": {"script": Scripted()},
        "bind": (Binding(pattern="*", engine="script"),),
        "server": Server(port=0),
    }
    config = Config(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        **{**OPEN_SETTINGS, **scripted, **settings},
    )
    async with open_deployment(config) as deployment:
        for account in accounts:
            await deployment.state.stores.identities.create_account(account, account)
        yield Inside(App(deployment), deployment)
