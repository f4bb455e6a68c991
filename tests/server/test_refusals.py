"""Who may call: every wrong credential gets AWS's own code, status and sentence over real HTTP."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from running_gateways import Gateway
from signed_http import ACCESS_KEY, SECRET_KEY, Ask, Reply, Signer, send, send_signed

CORAL = "http://internal.amazon.com/coral/com.amazon.coral.service/"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
UNKNOWN = "The security token included in the request is invalid."
LIST = Ask("GET", "/foundation-models")
INVOKE = Ask(
    "POST",
    "/model/amazon.titan-text-express-v1/invoke",
    headers=(("content-type", "application/json"),),
    body=b'{"inputText":"hello"}',
)
AGENTS = Ask("POST", "/agents/", body=b'{"maxResults":1}')
DEADLINE_S = 20


def refused(reply: Reply, code: str, message: str, namespace: str = CORAL) -> None:
    assert reply.status == 403
    assert reply.headers["x-amzn-errortype"] == f"{code}:{namespace}"
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.headers["x-amzn-requestid"]) == 36
    assert reply.message == message


def outcrop(gateway: Gateway, *arguments: str) -> bytes:
    return subprocess.check_output(
        [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)],
        env=gateway.environment,
    )


def code_of(call: Any, **arguments: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer: Any = caught.value.response
    error = answer["Error"]
    return error["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


@pytest.mark.parametrize("ask", [LIST, INVOKE], ids=["GET", "POST"])
def test_a_right_signature_is_served(scripted_gateway: Gateway, ask: Ask) -> None:
    assert send(scripted_gateway.url, ask).status == 200


@pytest.mark.parametrize("ask", [LIST, INVOKE], ids=["GET", "POST"])
def test_a_wrong_secret_is_a_wrong_signature(scripted_gateway: Gateway, ask: Ask) -> None:
    reply = send_signed(scripted_gateway.url, ask, Signer(secret="w" * 40))
    refused(reply, "InvalidSignatureException", MISMATCH)


def test_an_unknown_key_is_an_invalid_token(scripted_gateway: Gateway) -> None:
    reply = send_signed(scripted_gateway.url, LIST, Signer(key_id="AKIANOSUCHKEY0000001"))
    refused(reply, "UnrecognizedClientException", UNKNOWN)


@pytest.mark.parametrize(
    ("minutes", "message"),
    [(-6, "Signature expired: {then} is now earlier than "), (6, "Signature not yet current: ")],
)
def test_a_date_five_minutes_off_is_refused(
    scripted_gateway: Gateway, minutes: int, message: str
) -> None:
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    reply = send_signed(scripted_gateway.url, INVOKE, Signer(), then)
    assert (reply.status, reply.error) == (403, "InvalidSignatureException")
    assert reply.message.startswith(message.format(then=then.strftime("%Y%m%dT%H%M%SZ")))
    assert "5 min.)" in reply.message


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_date_four_minutes_off_is_served(scripted_gateway: Gateway, minutes: int) -> None:
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    assert send_signed(scripted_gateway.url, INVOKE, Signer(), then).status == 200


def test_a_tampered_request_is_a_wrong_signature(scripted_gateway: Gateway) -> None:
    headers = Signer().headers(INVOKE, urlsplit(scripted_gateway.url).netloc)
    tampered = [
        replace(INVOKE, body=b'{"inputText":"hellp"}'),
        replace(INVOKE, path=INVOKE.path.replace("express", "lite")),
        replace(INVOKE, query="a=b"),
        replace(INVOKE, method="PUT", path="/guardrails/abc"),
    ]
    for ask in tampered:
        reply = send(scripted_gateway.url, ask, headers)
        refused(reply, "InvalidSignatureException", MISMATCH)


def test_a_header_added_after_signing_is_refused(scripted_gateway: Gateway) -> None:
    headers = Signer().headers(INVOKE, urlsplit(scripted_gateway.url).netloc)
    reply = send(scripted_gateway.url, INVOKE, headers | {"x-amz-target": "x"})
    refused(
        reply,
        "InvalidSignatureException",
        "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_an_unsigned_request_misses_its_token(scripted_gateway: Gateway) -> None:
    host = {"host": urlsplit(scripted_gateway.url).netloc}
    for ask in (LIST, INVOKE, AGENTS):
        reply = send(scripted_gateway.url, ask, host)
        refused(reply, "MissingAuthenticationTokenException", "Missing Authentication Token")


@pytest.mark.parametrize("scheme", ["Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1 a=b"])
def test_half_a_signature_is_incomplete(scripted_gateway: Gateway, scheme: str) -> None:
    headers = {"host": urlsplit(scripted_gateway.url).netloc, "authorization": scheme}
    reply = send(scripted_gateway.url, LIST, headers)
    assert (reply.status, reply.error) == (403, "IncompleteSignatureException")
    assert "Traceback" not in reply.message


def test_a_scope_of_another_service_is_refused(scripted_gateway: Gateway) -> None:
    # A scope of a service that is here too (s3) leads there: its host alone would say otherwise.
    for service in ("bedrock-runtime", "dynamodb"):
        reply = send_signed(scripted_gateway.url, INVOKE, Signer(service=service))
        refused(
            reply,
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'bedrock'. ",
        )


@pytest.mark.parametrize(
    ("key", "secret", "code", "message"),
    [
        (ACCESS_KEY, "w" * 40, "InvalidSignatureException", MISMATCH),
        ("AKIANOSUCHKEY0000001", SECRET_KEY, "UnrecognizedClientException", UNKNOWN),
    ],
)
def test_boto3_sees_the_codes_of_aws(
    scripted_gateway: Gateway, key: str, secret: str, code: str, message: str
) -> None:
    client = scripted_gateway.client("bedrock", key=key, secret=secret)
    assert code_of(client.list_foundation_models) == (code, 403, message)


def test_a_key_disabled_beside_the_running_server_is_refused_there(
    scripted_gateway: Gateway,
) -> None:
    made = msgspec.json.decode(outcrop(scripted_gateway, "keys", "create", "--json"))
    signer = Signer(made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"])
    until(scripted_gateway, signer, 200)
    outcrop(scripted_gateway, "keys", "disable", signer.key_id)
    until(scripted_gateway, signer, 403)
    refused(send_signed(scripted_gateway.url, LIST, signer), "UnrecognizedClientException", UNKNOWN)


def until(gateway: Gateway, signer: Signer, status: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while send_signed(gateway.url, LIST, signer).status != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def presigned(gateway: Gateway, ask: Ask, expires_s: int = 60) -> Ask:
    request = AWSRequest(method=ask.method, url=gateway.url + ask.path, data=ask.body)
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    SigV4QueryAuth(credentials, "bedrock", "us-east-1", expires=expires_s).add_auth(request)
    return replace(ask, query=urlsplit(str(request.url)).query)


def test_a_presigned_url_is_served_and_its_tampering_refused(scripted_gateway: Gateway) -> None:
    host = {"host": urlsplit(scripted_gateway.url).netloc}
    ask = presigned(scripted_gateway, LIST)
    assert send(scripted_gateway.url, ask, host).json["modelSummaries"]
    longer = replace(ask, query=ask.query.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))
    refused(send(scripted_gateway.url, longer, host), "InvalidSignatureException", MISMATCH)


def short_term_key() -> str:
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    return BedrockTokenGenerator().get_token(credentials, "us-east-1")


@pytest.fixture(params=["short", "long"])
def api_key(request: pytest.FixtureRequest, scripted_gateway: Gateway) -> str:
    if request.param == "short":
        return short_term_key()
    made = outcrop(scripted_gateway, "keys", "create", "--bearer", "--json")
    return msgspec.json.decode(made)["AWS_BEARER_TOKEN_BEDROCK"]


def bearer(gateway: Gateway, token: str) -> dict[str, str]:
    return {"host": urlsplit(gateway.url).netloc, "authorization": f"Bearer {token}"}


def until_known(gateway: Gateway, token: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while send(gateway.url, LIST, bearer(gateway, token)).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_api_key_serves_bedrock_and_its_runtime_and_nothing_else(
    scripted_gateway: Gateway, api_key: str
) -> None:
    until_known(scripted_gateway, api_key)
    headers = bearer(scripted_gateway, api_key)
    assert send(scripted_gateway.url, INVOKE, headers).status == 200
    agents = send(scripted_gateway.url, AGENTS, headers)
    assert (agents.status, agents.error) == (403, "IncompleteSignatureException")


def test_a_wrong_api_key_is_denied(scripted_gateway: Gateway) -> None:
    service = "http://internal.amazon.com/coral/com.amazon.bedrock/"
    invalid = "Authentication failed: Please make sure your API Key is valid."
    tampered = short_term_key()[:-8] + "AAAAAAAA"
    for token, message in (
        ("x", "Invalid API Key format: Must start with pre-defined prefix"),
        ("bedrock-api-key-x", invalid),
        (tampered, invalid),
        ("ABSKQmVkcm9ja0FQSUtleQ==", invalid),
    ):
        reply = send(scripted_gateway.url, LIST, bearer(scripted_gateway, token))
        refused(reply, "AccessDeniedException", message, service)
        assert reply.body.startswith(b'{"Message":')
