"""Invocation logging as the documents set it up, and what is refused."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from buckets_under_test import new_account, refusal
from logging_under_test import CHECK, MODEL, STREAM, Logging, eventually, example, logging_in
from running_gateways import ACCOUNT, Gateway

REGION = "eu-central-1"
SWITCHES = ("textDataDelivery", "imageDataDelivery", "embeddingDataDelivery")
FOLDER = f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs"
NO_S3 = [
    {"Effect": "Allow", "Action": ["bedrock:*", "iam:PassRole"], "Resource": "*"},
]


@pytest.fixture
def logging(scripted_gateway: Gateway) -> Iterator[Logging]:
    with logging_in(scripted_gateway, REGION) as logging:
        yield logging


def name() -> str:
    return f"tests-{uuid.uuid4().hex[:16]}"


@pytest.fixture
def bucket(logging: Logging) -> str:
    return logging.bucket(name())


@pytest.fixture
def group(logging: Logging) -> str:
    made = f"/bedrock/{name()}"
    logging.client("logs").create_log_group(logGroupName=made)
    return made


def allow_bedrock(logging: Logging, bucket: str, prefix: str = "prefix") -> None:
    policy = example(1, logging.region, bucketName=bucket, prefix=prefix)
    logging.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def user_put(
    logging: Logging, statements: list[dict[str, Any]] = NO_S3
) -> Callable[..., tuple[str, int, str]]:
    """How a user with these permissions is refused a configuration."""
    iam: Any = logging.client("iam")
    user = name()
    iam.create_user(UserName=user)
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="granted", PolicyDocument=policy)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    key = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
    bedrock: Any = logging.gateway.client("bedrock", logging.region, **key)

    def put(**configuration: Any) -> tuple[str, int, str]:
        action = bedrock.put_model_invocation_logging_configuration
        return refusal(action, loggingConfig=configuration)

    return put


def admin_put(logging: Logging, **configuration: Any) -> tuple[str, int, str]:
    action = logging.client("bedrock").put_model_invocation_logging_configuration
    return refusal(action, loggingConfig=configuration)


def test_logging_is_off_until_it_is_set(logging: Logging):
    assert logging.get() is None
    logging.client("bedrock").delete_model_invocation_logging_configuration()


def test_a_configuration_is_told_as_it_was_put_and_is_its_region_s_alone(
    logging: Logging, bucket: str
):
    s3_config = {"bucketName": bucket, "keyPrefix": "a/b/"}
    off = {f"{switch}Enabled": False for switch in (*SWITCHES, "videoDataDelivery")}
    logging.put(s3Config=s3_config, **off)
    on = {"audioDataDeliveryEnabled": True}
    assert logging.get() == {"s3Config": s3_config, **off, **on}
    assert Logging(logging.gateway, "eu-west-3").get() is None
    logging.put(s3Config={"bucketName": bucket})
    told = {f"{switch}Enabled": True for switch in (*SWITCHES, "videoDataDelivery")}
    assert logging.get() == {"s3Config": {"bucketName": bucket}, **told, **on}
    logging.client("bedrock").delete_model_invocation_logging_configuration()
    assert logging.get() is None


def test_a_prefix_that_leaves_no_room_for_the_longest_key_is_refused(logging: Logging, bucket: str):
    """The word that is put as a check has a shorter key than what comes later."""
    allow_bedrock(logging, bucket)
    with pytest.raises(ClientError) as caught:
        logging.put(s3Config={"bucketName": bucket, "keyPrefix": "ä" * 450})
    response: Any = caught.value.response
    assert response["Error"]["Code"] == "ValidationException"
    assert response["Error"]["Message"].startswith("The keyPrefix is too long")


def test_the_documents_set_up_of_s3_gives_log_objects(logging: Logging, bucket: str):
    allow_bedrock(logging, bucket)
    before = logging.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    logging.put(s3Config={"bucketName": bucket, "keyPrefix": "prefix"})
    assert logging.client("s3").get_bucket_policy(Bucket=bucket)["Policy"] == before
    word = f"prefix/{FOLDER}/amazon-bedrock-logs-permission-check"
    found = logging.client("s3").get_object(Bucket=bucket, Key=word)
    assert found["Body"].read() == CHECK.encode()
    request_id = logging.converse("one", requestMetadata={"team": "a"})
    (log,) = eventually(lambda: logging.records(bucket))
    (key,) = [key for key in logging.keys(bucket) if key.endswith(".gz")]
    pattern = rf"prefix/{FOLDER}/{REGION}/\d{{4}}/\d\d/\d\d/\d\d/\d{{8}}T\d{{9}}Z_[0-9a-f]{{16}}"
    assert re.fullmatch(rf"{pattern}\.json\.gz", key)
    content = [{"text": "one"}]
    timestamp, answer = log.pop("timestamp"), log["output"].pop("outputBodyJson")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", timestamp)
    assert answer["output"]["message"] == {"role": "assistant", "content": content}
    usage = answer["usage"]
    assert log == {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "accountId": ACCOUNT,
        "identity": {"arn": f"arn:aws:iam::{ACCOUNT}:user/admin"},
        "region": REGION,
        "requestId": request_id,
        "operation": "Converse",
        "modelId": MODEL,
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": {
                "messages": [{"role": "user", "content": content}],
                "requestMetadata": {"team": "a"},
            },
            "inputTokenCount": usage["inputTokens"],
        },
        "output": {
            "outputContentType": "application/json",
            "outputTokenCount": usage["outputTokens"],
        },
        "requestMetadata": {"team": "a"},
    }


def logged(logging: Logging, bucket: str, answer: Any) -> dict[str, Any]:
    """The record of an answered request."""
    request_id = answer["ResponseMetadata"]["RequestId"]
    found = eventually(
        lambda: [log for log in logging.records(bucket) if log["requestId"] == request_id]
    )
    (log,) = found
    return log


def test_streams_embeddings_and_failures_are_logged(logging: Logging, bucket: str):
    logging.put(s3Config={"bucketName": bucket})
    runtime: Any = logging.client("bedrock-runtime")
    message = {"role": "user", "content": [{"text": "two"}]}
    stream = runtime.converse_stream(modelId=MODEL, messages=[message])
    told = next(event["metadata"] for event in stream["stream"] if "metadata" in event)
    prompt = {"prompt": "\n\nHuman: three\n\nAssistant:", "max_tokens_to_sample": 10}
    chunks = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(prompt))
    pieces = [json.loads(event["chunk"]["bytes"]) for event in chunks["body"]]
    embedding = runtime.invoke_model(
        modelId="amazon.titan-embed-text-v1", body='{\n "inputText":\n "four"}'
    )
    vector = json.loads(embedding["body"].read())
    with pytest.raises(ClientError) as refused:
        runtime.invoke_model(modelId=MODEL, body="{}")
    log = logged(logging, bucket, stream)
    folded = log["output"]["outputBodyJson"]
    assert log["operation"] == "ConverseStream"
    assert folded["output"]["message"] == {"role": "assistant", "content": [{"text": "two"}]}
    assert (folded["stopReason"], folded["metrics"]) == ("end_turn", told["metrics"])
    assert folded["usage"].items() >= told["usage"].items()
    log = logged(logging, bucket, chunks)
    assert log["operation"] == "InvokeModelWithResponseStream"
    assert log["input"]["inputBodyJson"] == prompt
    assert log["output"]["outputBodyJson"] == pieces
    log = logged(logging, bucket, embedding)
    assert log["operation"] == "InvokeModel"
    assert log["input"]["inputBodyJson"] == {"inputText": "four"}
    assert log["output"]["outputBodyJson"] == vector
    log = logged(logging, bucket, refused.value.response)
    assert log["errorCode"] == "ValidationException"
    assert log["input"]["inputBodyJson"] == {}
    assert "output" not in log


def test_bodies_over_100_kb_lie_beside_the_log(logging: Logging, bucket: str):
    logging.put(s3Config={"bucketName": bucket})
    prompt = {"prompt": f"\n\nHuman: {'y' * 150_000}\n\nAssistant:", "max_tokens_to_sample": 9}
    runtime: Any = logging.client("bedrock-runtime")
    body = json.dumps(prompt)
    answer = runtime.invoke_model(modelId=MODEL, body=body)
    request_id = answer["ResponseMetadata"]["RequestId"]
    (log,) = eventually(lambda: logging.records(bucket))
    path = log["input"]["inputBodyS3Path"]
    assert re.fullmatch(
        rf"s3://{bucket}/{FOLDER}/{REGION}/[\d/]+/data/{request_id}_input\.json\.gz", path
    )
    assert "inputBodyJson" not in log["input"]
    key = path.removeprefix(f"s3://{bucket}/")
    eventually(lambda: key in logging.keys(bucket))
    assert logging.read(bucket, key).decode() == body


def test_kinds_that_are_switched_off_are_logged_without_bodies(logging: Logging, bucket: str):
    logging.put(s3Config={"bucketName": bucket}, textDataDeliveryEnabled=False)
    request_id = logging.converse("a secret")
    (log,) = eventually(lambda: logging.records(bucket))
    assert log["requestId"] == request_id
    assert "a secret" not in json.dumps(log)
    assert log["input"] == {"inputContentType": "application/json", "inputTokenCount": 2}


def test_what_a_policy_no_longer_lets_through_comes_when_it_does_again(
    logging: Logging, bucket: str
):
    logging.put(s3Config={"bucketName": bucket})
    s3: Any = logging.client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    request_id = logging.converse()
    log = logging.gateway.data_dir.parent / "server.log"

    def is_refused() -> bool:
        lines = log.read_text(encoding="utf-8").splitlines()
        return any("bedrock.amazonaws.com" in line and bucket in line for line in lines)

    eventually(is_refused)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    (record,) = eventually(lambda: logging.records(bucket))
    assert record["requestId"] == request_id


def test_calls_answered_before_logging_ended_are_delivered(logging: Logging, bucket: str):
    logging.put(s3Config={"bucketName": bucket})
    before = logging.converse()
    logging.client("bedrock").delete_model_invocation_logging_configuration()
    logging.converse()
    logs = eventually(lambda: logging.records(bucket))
    assert [log["requestId"] for log in logs] == [before]


def test_the_policy_is_added_for_who_may(logging: Logging, bucket: str):
    own = {
        "Sid": "AmazonBedrockLogsWrite",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3: Any = logging.client("s3")
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": own})
    )
    logging.put(s3Config={"bucketName": bucket, "keyPrefix": "prefix"})
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    (added,) = example(1, REGION, bucketName=bucket)["Statement"]
    assert policy["Statement"] == [own, {**added, "Sid": "AmazonBedrockLogsWrite2"}]
    # It is there now.
    logging.put(s3Config={"bucketName": bucket, "keyPrefix": "prefix"})
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy


def s3_refused(bucket: str) -> str:
    return f"Failed to validate permissions for S3 bucket: {bucket}. "


def test_without_leave_to_change_the_policy_it_must_be_there(logging: Logging, bucket: str):
    config = {"s3Config": {"bucketName": bucket, "keyPrefix": "prefix"}}
    code, status, text = user_put(logging)(**config)
    assert (code, status) == ("ValidationException", 400)
    assert text.startswith(s3_refused(bucket))
    reading = {"Effect": "Allow", "Action": "s3:GetBucketPolicy", "Resource": "*"}
    assert user_put(logging, [*NO_S3, reading])(**config)[2].startswith(s3_refused(bucket))
    assert refusal(logging.client("s3").get_bucket_policy, Bucket=bucket)[0] == "NoSuchBucketPolicy"
    assert logging.get() is None


@pytest.mark.parametrize(
    "change",
    [
        {"aws:SourceAccount": "210987654321"},
        {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:*"},
        {"aws:SourceArn": f"arn:aws:bedrock:{REGION}:210987654321:*"},
        {"Principal": {"Service": "logs.amazonaws.com"}},
        {"Action": ["s3:GetObject"]},
        {"prefix": "other"},
    ],
    ids=["account", "region", "account of the ARN", "service", "action", "prefix"],
)
def test_a_policy_must_let_bedrock_of_this_account_and_region_put_logs_there(
    logging: Logging, bucket: str, change: dict[str, Any]
):
    policy = example(1, REGION, bucketName=bucket, prefix=change.pop("prefix", "prefix"))
    (statement,) = policy["Statement"]
    for key, value in change.items():
        if key.startswith("aws:"):
            operator = "ArnLike" if key == "aws:SourceArn" else "StringEquals"
            statement["Condition"][operator][key] = value
        else:
            statement[key] = value
    logging.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    refused = user_put(logging)(s3Config={"bucketName": bucket, "keyPrefix": "prefix"})
    assert refused[2].startswith(s3_refused(bucket))


def test_what_a_policy_denies_is_not_undone(logging: Logging, bucket: str):
    statement = {
        "Effect": "Deny",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3: Any = logging.client("s3")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert admin_put(logging, s3Config={"bucketName": bucket})[2].startswith(s3_refused(bucket))
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy


def test_destinations_lie_in_the_account_and_region_of_the_calls(logging: Logging):
    _, key, secret = new_account(logging.gateway, name())
    theirs: Any = logging.gateway.client("s3", REGION, key=key, secret=secret)
    where = {"LocationConstraint": REGION}
    of_another_account = name()
    theirs.create_bucket(Bucket=of_another_account, CreateBucketConfiguration=where)
    elsewhere = Logging(logging.gateway, "eu-west-1").bucket(name())
    for bucket in (of_another_account, elsewhere, name()):
        code, status, text = admin_put(logging, s3Config={"bucketName": bucket})
        assert (code, status) == ("ValidationException", 400)
        assert text.startswith(f"There is no S3 bucket {bucket} of this account in this Region.")


def test_a_destination_is_needed(logging: Logging):
    code, status, text = admin_put(logging, textDataDeliveryEnabled=True)
    assert (code, status) == ("ValidationException", 400)
    assert text.startswith("Invocation logging needs a destination")


def test_buckets_with_acls_are_refused(logging: Logging, bucket: str):
    logging.client("s3").delete_bucket_ownership_controls(Bucket=bucket)
    refused = admin_put(logging, s3Config={"bucketName": bucket})
    assert refused[0] == "ValidationException"
    assert "has ACLs enabled" in refused[2]


def test_a_bucket_under_kms_needs_the_documents_statement_in_the_key_policy(
    logging: Logging, bucket: str
):
    kms: Any = logging.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    logging.client("s3").put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
        },
    )
    refused = admin_put(logging, s3Config={"bucketName": bucket})
    assert refused[2].startswith(s3_refused(bucket))
    assert "kms:GenerateDataKey" in refused[2]
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append(example(2, REGION))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    logging.put(s3Config={"bucketName": bucket})
    request_id = logging.converse()
    (log,) = eventually(lambda: logging.records(bucket))
    assert log["requestId"] == request_id
    for each in logging.keys(bucket):
        head = logging.client("s3").head_object(Bucket=bucket, Key=each)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_the_documents_set_up_of_cloudwatch_gives_log_events(
    logging: Logging, group: str, bucket: str
):
    role = logging.role(name(), group)
    large = {"bucketName": bucket, "keyPrefix": "large"}
    config = {"logGroupName": group, "roleArn": role, "largeDataDeliveryS3Config": large}
    logging.put(cloudWatchConfig=config)
    told = logging.get()
    assert told is not None
    assert told["cloudWatchConfig"] == config
    assert logging.events(group) == [CHECK]
    first, second = logging.converse("one"), logging.converse("y" * 150_000)
    eventually(lambda: len(logging.events(group)) == 3)
    small, pointing = map(json.loads, logging.events(group)[1:])
    assert (small["requestId"], pointing["requestId"]) == (first, second)
    content = [{"text": "one"}]
    assert small["output"]["outputBodyJson"]["output"]["message"]["content"] == content
    path = pointing["input"]["inputBodyS3Path"]
    assert path.startswith(f"s3://{bucket}/large/{FOLDER}/{REGION}/")
    key = path.removeprefix(f"s3://{bucket}/")
    eventually(lambda: key in logging.keys(bucket))
    body = json.loads(logging.read(bucket, key))
    assert body["messages"][0]["content"] == [{"text": "y" * 150_000}]
    # Only what is large lies there.
    assert logging.records(bucket) == []
    # A stream that somebody deletes is made again.
    logging.client("logs").delete_log_stream(logGroupName=group, logStreamName=STREAM)
    third = logging.converse("three")
    streams: Any = logging.client("logs").describe_log_streams
    eventually(lambda: streams(logGroupName=group)["logStreams"])
    assert json.loads(logging.events(group)[0])["requestId"] == third


def test_both_destinations_get_every_record(logging: Logging, group: str, bucket: str):
    role = logging.role(name(), group)
    logging.put(
        s3Config={"bucketName": bucket},
        cloudWatchConfig={"logGroupName": group, "roleArn": role},
    )
    ids = [logging.converse(f"number {number}") for number in range(5)]
    eventually(lambda: len(logging.events(group)) == 1 + len(ids))
    records = eventually(lambda: len(found := logging.records(bucket)) == len(ids) and found)
    assert [json.loads(event) for event in logging.events(group)[1:]] == records
    assert [record["requestId"] for record in records] == ids


def group_refused(group: str, role: str) -> tuple[str, int, str]:
    """Recorded of AWS."""
    return (
        "ValidationException",
        400,
        f"Failed to validate permissions for log group: {group}, with role: {role}. Verify the "
        "IAM role permissions are correct.",
    )


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (3, {"Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}}}),
        (3, {"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:*:{ACCOUNT}:agent/*"}}}),
        (3, {"Principal": {"Service": "lambda.amazonaws.com"}}),
        (4, {"Action": ["logs:CreateLogStream"]}),
        (4, {"Action": ["logs:PutLogEvents"]}),
        (4, {"Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:other:*"}),
        (4, {"Effect": "Deny"}),
    ],
)
def test_the_role_must_trust_bedrock_and_may_write_the_stream(
    logging: Logging, group: str, number: int, change: dict[str, Any]
):
    role_name = name()
    role = logging.role(role_name, group)
    policy = example(number, REGION, logGroupName=group)
    policy["Statement"][0] |= change
    iam, text = logging.client("iam"), json.dumps(policy)
    if number == 3:
        iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=text)
    else:
        iam.put_role_policy(RoleName=role_name, PolicyName="logs", PolicyDocument=text)
    config = {"logGroupName": group, "roleArn": role}
    assert admin_put(logging, cloudWatchConfig=config) == group_refused(group, role)
    assert logging.get() is None


def test_the_log_group_and_the_role_must_be_there(logging: Logging, group: str):
    role = logging.role(name(), "*")
    config = {"logGroupName": "/nowhere", "roleArn": role}
    assert admin_put(logging, cloudWatchConfig=config) == group_refused("/nowhere", role)
    gone = f"arn:aws:iam::{ACCOUNT}:role/{name()}"
    config = {"logGroupName": group, "roleArn": gone}
    assert admin_put(logging, cloudWatchConfig=config) == group_refused(group, gone)


def test_the_role_must_be_one_that_the_caller_may_pass(logging: Logging, group: str):
    role = logging.role(name(), group)
    put = user_put(logging, [{"Effect": "Allow", "Action": "bedrock:*", "Resource": "*"}])
    refused = put(cloudWatchConfig={"logGroupName": group, "roleArn": role})
    assert refused[:2] == ("AccessDeniedException", 403)
    assert f"iam:PassRole on resource: {role}" in refused[2]


def test_the_bucket_for_large_data_is_checked_like_the_one_for_logs(logging: Logging, group: str):
    role, bucket = logging.role(name(), group), name()
    config = {
        "logGroupName": group,
        "roleArn": role,
        "largeDataDeliveryS3Config": {"bucketName": bucket},
    }
    refused = admin_put(logging, cloudWatchConfig=config)
    assert refused[2].startswith(f"There is no S3 bucket {bucket} ")


def test_deliveries_are_counted_across_all_models(logging: Logging, bucket: str, group: str):
    role = logging.role(name(), group)
    logging.put(
        s3Config={"bucketName": bucket},
        cloudWatchConfig={"logGroupName": group, "roleArn": role},
    )
    before = _delivered(logging)
    logging.converse("one")
    logging.converse("y" * 150_000)
    wanted = {"LogsS3": 2, "LogsCloudWatch": 2, "LargeDataS3": 1}

    def counted() -> dict[str, float]:
        now = _delivered(logging)
        return {kind: now[kind] - before[kind] for kind in wanted}

    eventually(lambda: counted() == wanted)
    # Nor does any count twice.
    assert counted() == wanted


def _delivered(logging: Logging) -> dict[str, float]:
    cloudwatch: Any = logging.client("cloudwatch")
    found: dict[str, float] = {}
    for kind in ("LogsS3", "LogsCloudWatch", "LargeDataS3"):
        metric = f"ModelInvocation{kind}DeliverySuccess"
        told = cloudwatch.get_metric_statistics(
            Namespace="AWS/Bedrock",
            MetricName=metric,
            StartTime=datetime.now(UTC) - timedelta(days=1),
            EndTime=datetime.now(UTC) + timedelta(days=1),
            Period=86400,
            Statistics=["Sum"],
        )
        found[kind] = sum(point["Sum"] for point in told["Datapoints"])
    return found
