"""The documents' set-up of invocation logging (RUN-001 to RUN-004), followed with the AWS CLI to
the letter; then every field of what text, streams and embeddings left in bucket and log group."""

import gzip
import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
CHECK = "Permissions are correctly set for Amazon Bedrock logs."
STREAM = "aws/bedrock/modelinvocations"
REGION = "us-east-1"
CLAUDE, TITAN = "anthropic.claude-v2", "amazon.titan-embed-text-v1"
PROMPT = {"prompt": "\n\nHuman: hello there\n\nAssistant:", "max_tokens_to_sample": 20}
TURNS = [{"role": "user", "content": [{"text": "hello there"}]}]
FOLDER = f"prefix/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs"
KEY = re.compile(
    rf"{FOLDER}/{REGION}/\d{{4}}/\d\d/\d\d/\d\d/\d{{8}}T\d{{9}}Z_[0-9a-f]{{16}}\.json\.gz"
)
WAIT_S = 60


def example(number: int, **names: str) -> Any:
    """With the placeholders filled in that the documents have there."""
    text = (SEED / f"RUN-{number:03}.json").read_text(encoding="utf-8")
    # In the ARNs only: condition keys and actions hold the same words.
    for name, value in {**names, "accountId": ACCOUNT, ":region:": f":{REGION}:"}.items():
        text = text.replace(name, value)
    return json.loads(text)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = start_gateway(tmp_path_factory.mktemp("logging"), SCRIPTED)
    yield running
    running.stop()


class Shell:
    """A user with an AWS CLI and some files."""

    def __init__(self, gateway: Gateway, aws: Path, folder: Path) -> None:
        self._gateway = gateway
        self._aws = aws
        self._folder = folder

    def run(self, *arguments: str) -> Any:
        done = subprocess.run(
            [str(self._aws), *arguments, "--output", "json"],
            cwd=self._folder,
            env=self._gateway.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def file(self, name: str, content: Any) -> str:
        (self._folder / name).write_text(json.dumps(content), encoding="utf-8")
        return f"file://{name}"


def set_up(shell: Shell, bucket: str, group: str, role: str) -> None:
    shell.run("s3api", "create-bucket", "--bucket", bucket)
    policy = example(1, bucketName=bucket, prefix="prefix")
    policy_file = shell.file("bucket-policy.json", policy)
    shell.run("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", policy_file)
    shell.run("logs", "create-log-group", "--log-group-name", group)
    trust_file = shell.file("trust.json", example(3))
    made = shell.run(
        *("iam", "create-role", "--role-name", role),
        *("--assume-role-policy-document", trust_file),
    )
    role_policy_file = shell.file("role.json", example(4, logGroupName=group))
    shell.run(
        *("iam", "put-role-policy", "--role-name", role, "--policy-name", "logs"),
        *("--policy-document", role_policy_file),
    )
    configuration = {
        "cloudWatchConfig": {"logGroupName": group, "roleArn": made["Role"]["Arn"]},
        "s3Config": {"bucketName": bucket, "keyPrefix": "prefix"},
        "textDataDeliveryEnabled": True,
        "imageDataDeliveryEnabled": True,
        "embeddingDataDeliveryEnabled": True,
    }
    configuration_file = shell.file("logging.json", configuration)
    shell.run(
        *("bedrock", "put-model-invocation-logging-configuration"),
        *("--logging-config", configuration_file),
    )
    told = shell.run("bedrock", "get-model-invocation-logging-configuration")
    assert told["loggingConfig"].items() >= configuration.items()


def calls(runtime: Any) -> dict[str, str]:
    """Each kind of call, by its request's ID."""
    body = json.dumps(PROMPT)
    whole = runtime.invoke_model(modelId=CLAUDE, body=body)
    stream = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=body)
    list(stream["body"])
    said = runtime.converse(modelId=CLAUDE, messages=TURNS, requestMetadata={"team": "ore"})
    heard = runtime.converse_stream(modelId=CLAUDE, messages=TURNS)
    list(heard["stream"])
    vector = runtime.invoke_model(modelId=TITAN, body=json.dumps({"inputText": "hello there"}))
    answers = {
        "InvokeModel": whole,
        "InvokeModelWithResponseStream": stream,
        "Converse": said,
        "ConverseStream": heard,
        "embedding": vector,
    }
    return {answer["ResponseMetadata"]["RequestId"]: kind for kind, answer in answers.items()}


def delivered(shell: Shell, bucket: str, folder: Path, wanted: int) -> list[Any]:
    deadline = time.monotonic() + WAIT_S
    while True:
        listed = shell.run("s3api", "list-objects-v2", "--bucket", bucket)
        keys = [each["Key"] for each in listed.get("Contents", ())]
        logs = [key for key in keys if KEY.fullmatch(key)]
        records: list[Any] = []
        for key in logs:
            shell.run("s3api", "get-object", "--bucket", bucket, "--key", key, "batch")
            lines = gzip.decompress((folder / "batch").read_bytes()).splitlines()
            records += map(json.loads, lines)
        if len(records) >= wanted:
            others = set(keys) - set(logs)
            assert others == {f"{FOLDER}/amazon-bedrock-logs-permission-check"}
            return records
        assert time.monotonic() < deadline, keys


def events(shell: Shell, group: str, wanted: int) -> list[Any]:
    deadline = time.monotonic() + WAIT_S
    while True:
        told = shell.run(
            *("logs", "get-log-events", "--log-group-name", group, "--start-from-head"),
            *("--log-stream-name", STREAM),
        )["events"]
        if len(told) > wanted:
            assert told[0]["message"] == CHECK
            return [json.loads(each["message"]) for each in told[1:]]
        assert time.monotonic() < deadline, told


def test_the_documents_set_up_logs_every_kind_of_call(
    gateway: Gateway, aws_v2: Path, tmp_path: Path
) -> None:
    shell = Shell(gateway, aws_v2, tmp_path)
    name = uuid.uuid4().hex[:12]
    bucket, group = f"logs-{name}", f"bedrock-{name}"
    set_up(shell, bucket, group, f"BedrockLogs-{name}")
    with closing(gateway.client("bedrock-runtime")) as runtime:
        made = calls(runtime)
    records = delivered(shell, bucket, tmp_path, len(made))
    by_id = {record["requestId"]: record for record in records}
    assert by_id.keys() == made.keys()
    assert len(records) == len(made)
    for request_id, kind in made.items():
        check(kind, by_id[request_id])
    told = {record["requestId"]: record for record in events(shell, group, len(made))}
    assert told == by_id


def check(kind: str, record: Any) -> None:
    is_embedding = kind == "embedding"
    operation = "InvokeModel" if is_embedding else kind
    fixed = {name: record[name] for name in ("schemaType", "schemaVersion", "accountId", "region")}
    assert fixed == {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "accountId": ACCOUNT,
        "region": REGION,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["timestamp"])
    assert record["identity"]["arn"].startswith(f"arn:aws:iam::{ACCOUNT}:user/")
    assert record["operation"] == operation
    assert record["modelId"] == (TITAN if is_embedding else CLAUDE)
    asked, answered = record["input"], record["output"]
    assert asked["inputContentType"] == answered["outputContentType"] == "application/json"
    assert asked["inputTokenCount"] > 0
    bodies: dict[str, Any] = {
        "embedding": {"inputText": "hello there"},
        "Converse": {"messages": TURNS, "requestMetadata": {"team": "ore"}},
        "ConverseStream": {"messages": TURNS},
    }
    assert asked["inputBodyJson"] == bodies.get(kind, PROMPT)
    if not is_embedding:
        assert answered["outputTokenCount"] > 0
    check_answer(kind, answered["outputBodyJson"])


def check_answer(kind: str, body: Any) -> None:
    match kind:
        case "InvokeModel":
            assert body["stop_reason"] == "stop_sequence"
            assert body["completion"]
        case "InvokeModelWithResponseStream":
            assert "".join(chunk.get("completion", "") for chunk in body)
            assert body[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0
        case "embedding":
            assert len(body["embedding"]) == 1536
        case _:
            (block,) = body["output"]["message"]["content"]
            assert block["text"]
            assert body["stopReason"] == "end_turn"
            assert body["usage"]["totalTokens"] > 0
            assert "latencyMs" in body["metrics"]
