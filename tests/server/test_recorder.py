"""What is recorded of a request: once, whole, and before the end of its answer goes out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, REGION, Client, Inside, running_inside, whole
from running_gateways import ACCOUNT

from outcrop.journal.files import START
from outcrop.journal.records import CLIENT_GONE, CallRecord, decode
from outcrop.stores.model_records import LogBucket, LoggingConfiguration
from outcrop.stores.resources import Place
from outcrop.wire.http import Request

TITAN = "amazon.titan-text-lite-v1"
EMBED = "amazon.titan-embed-text-v2:0"


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def admin(inside: Inside) -> Client:
    return Client(inside.app, ADMIN)


def records(inside: Inside) -> list[CallRecord]:
    raw, _ = inside.deployment.records.journal.read(START, 1 << 24)
    return [decode(each) for each in raw]


def only(inside: Inside) -> CallRecord:
    (record,) = records(inside)
    return record


def titan(text: str = "hello there") -> dict[str, Any]:
    return {"modelId": TITAN, "body": json.dumps({"inputText": text})}


async def log_invocations(inside: Inside) -> None:
    configuration = LoggingConfiguration(s3=LogBucket(bucket="logs"))
    async with inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(configuration, Place(ACCOUNT, REGION, "default"))


async def test_an_answered_call_is_recorded_with_what_its_model_did(
    inside: Inside, admin: Client
) -> None:
    answer = await admin.ask("bedrock-runtime", "InvokeModel", **titan())
    record = only(inside)
    assert record.request_id == answer["ResponseMetadata"]["RequestId"]
    assert (record.account, record.region, record.status) == (ACCOUNT, REGION, 200)
    assert (record.service, record.operation) == ("bedrock-runtime", "InvokeModel")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    did = record.invocation
    assert did is not None
    assert (did.model_id, did.model, did.modality) == (TITAN, TITAN, "text")
    assert did.input_tokens == int(headers["x-amzn-bedrock-input-token-count"]) > 0
    assert did.output_tokens == int(headers["x-amzn-bedrock-output-token-count"]) > 0
    assert did.engine == headers["x-outcrop-served-by"]
    assert json.loads(record.trail)["requestID"] == record.request_id
    assert record.content is None


async def test_an_embedding_is_recorded(inside: Inside, admin: Client) -> None:
    body = json.dumps({"inputText": "hello there"})
    await admin.ask("bedrock-runtime", "InvokeModel", modelId=EMBED, body=body)
    did = only(inside).invocation
    assert did is not None
    assert (did.modality, did.output_tokens) == ("embedding", 0)
    assert did.input_tokens > 0


async def test_bodies_are_kept_where_the_account_logs_its_invocations(
    inside: Inside, admin: Client
) -> None:
    await log_invocations(inside)
    answer = await admin.ask("bedrock-runtime", "InvokeModel", **titan())
    content = only(inside).content
    assert content is not None
    assert content.input.decode() == titan()["body"]
    assert content.output.decode() == answer["body"]


async def test_the_metadata_of_a_conversation_is_kept(inside: Inside, admin: Client) -> None:
    await log_invocations(inside)
    messages = [{"role": "user", "content": [{"text": "hello"}]}]
    await admin.ask(
        "bedrock-runtime",
        "Converse",
        modelId=TITAN,
        messages=messages,
        requestMetadata={"team": "ore"},
    )
    content = only(inside).content
    assert content is not None
    assert content.metadata == {"team": "ore"}
    assert json.loads(content.input)["messages"] == messages
    assert json.loads(content.output)["stopReason"] == "end_turn"


@pytest.mark.parametrize("operation", ["InvokeModelWithResponseStream", "ConverseStream"])
async def test_a_stream_is_recorded_when_it_ends(
    inside: Inside, admin: Client, operation: str
) -> None:
    await log_invocations(inside)
    params: dict[str, Any] = titan()
    if operation == "ConverseStream":
        params = {
            "modelId": TITAN,
            "messages": [{"role": "user", "content": [{"text": "hello there"}]}],
        }
    response = await inside.app.handle(admin.request("bedrock-runtime", operation, **params))
    assert records(inside) == []
    await whole(response)
    record = only(inside)
    assert record.status == 200
    assert record.invocation is not None
    assert record.invocation.output_tokens > 0
    assert record.invocation.first_byte_ms is not None
    assert record.content is not None
    told = json.loads(record.content.output)
    if operation == "ConverseStream":
        assert "messageStart" in told[0]
        assert "metadata" in told[-1]
    else:
        assert "amazon-bedrock-invocationMetrics" in told[-1]


async def test_a_stream_that_breaks_is_an_error_of_the_server(
    inside: Inside, admin: Client
) -> None:
    script = 'script: [{"text": "so far"}, {"error": "gone"}]'
    request = admin.request("bedrock-runtime", "InvokeModelWithResponseStream", **titan(script))
    await whole(await inside.app.handle(request))
    record = only(inside)
    assert record.status == 200
    assert record.error_code == "ModelStreamErrorException"


async def test_a_stream_that_its_client_leaves_is_recorded_with_what_was_made(
    inside: Inside, admin: Client
) -> None:
    script = 'script: [{"text": "so far"}, {"pause": "for ever"}]'
    request = admin.request("bedrock-runtime", "InvokeModelWithResponseStream", **titan(script))
    response = await inside.app.handle(request)
    async with aclosing(cast(Any, response.body)) as body:
        await anext(body)
    record = only(inside)
    assert record.status == CLIENT_GONE
    assert record.invocation is not None
    assert record.invocation.output_tokens > 0


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"modelId": TITAN, "body": "no JSON"}, "ValidationException"),
        (titan('script: [{"error": "gone"}]'), "ServiceUnavailableException"),
        (titan('script: [{"error": "busy"}]'), "ThrottlingException"),
    ],
)
async def test_a_refusal_is_recorded_under_its_model(
    inside: Inside, admin: Client, params: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError):
        await admin.ask("bedrock-runtime", "InvokeModel", **params)
    record = only(inside)
    assert record.error_code == code
    assert record.invocation is not None
    assert record.invocation.model_id == TITAN
    assert json.loads(record.trail)["errorCode"] == code


async def test_what_is_no_model_has_no_invocation_and_is_in_the_trail(
    inside: Inside, admin: Client
) -> None:
    with pytest.raises(ClientError):
        await admin.ask("bedrock-runtime", "InvokeModel", modelId="a.stranger-v1", body="{}")
    record = only(inside)
    assert record.invocation is None
    assert json.loads(record.trail)["requestParameters"] == {"modelId": "a.stranger-v1"}


async def test_who_may_not_is_recorded_as_whoever_they_are(inside: Inside) -> None:
    nobody = await inside.user(ACCOUNT, "nobody")
    with pytest.raises(ClientError):
        await Client(inside.app, nobody).ask("bedrock-runtime", "InvokeModel", **titan())
    record = only(inside)
    assert record.status == 403
    assert record.invocation is not None
    assert json.loads(record.trail)["userIdentity"]["userName"] == "nobody"


async def test_whoever_is_not_known_leaves_no_record(inside: Inside, admin: Client) -> None:
    stranger = Client(inside.app, type(ADMIN)("AKIAUNKNOWN0000000AA", "x" * 40))
    with pytest.raises(ClientError):
        await stranger.ask("bedrock-runtime", "InvokeModel", **titan())
    assert records(inside) == []


async def test_what_a_request_asks_of_other_services_is_in_the_trail(
    inside: Inside, admin: Client
) -> None:
    await admin.ask("secretsmanager", "CreateSecret", Name="one", SecretString="hidden away")
    names = [json.loads(record.trail)["eventName"] for record in records(inside)]
    assert names == ["GenerateDataKey", "CreateSecret"]
    assert all(b"hidden away" not in record.trail for record in records(inside))


async def test_a_disk_that_takes_nothing_fails_no_call(
    inside: Inside, admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    inside.deployment.records.journal.close()
    await admin.ask("bedrock-runtime", "InvokeModel", **titan())
    await admin.ask("bedrock-runtime", "InvokeModel", **titan())
    told = [line for line in caplog.messages if "not recorded" in line]
    assert len(told) == 1


async def test_what_is_no_utf_8_is_recorded_like_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        client = inside.client(ADMIN)
        request = client.request("bedrock-runtime", "InvokeModel", **titan())
        request.headers = (*request.headers, ("x-amzn-bedrock-trace", "\udcff"))
        assert (await inside.app.handle(request)).status == 400
        await inside.deployment.records.consumer.catch_up()
        assert inside.deployment.recorder.in_flight == 0


async def test_a_bug_in_what_is_recorded_takes_no_answer_away(
    inside: Inside, admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def finished(self, record: CallRecord, request: Request) -> None:
            raise RuntimeError("out of order")

    inside.deployment.recorder.followers.append(Broken())
    await admin.ask("bedrock-runtime", "InvokeModel", **titan())
    assert len(records(inside)) == 1
    assert "is not recorded whole" in caplog.text
