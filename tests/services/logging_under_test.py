"""Invocation logging of a running gateway: the documents' set-up, and what was delivered."""

import gzip
import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running_gateways import ACCOUNT, Gateway

SEED = Path(__file__).resolve().parents[2] / "../shared/seed-examples"
CHECK = "Permissions are correctly set for Amazon Bedrock logs."
STREAM = "aws/bedrock/modelinvocations"
MODEL = "anthropic.claude-v2"


def example(number: int, region: str, **names: str) -> dict[str, Any]:
    """RUN-00x with its placeholders filled in."""
    text = (SEED / f"RUN-{number:03}.json").read_text(encoding="utf-8")
    # The longer ones first: ``region`` is a word of its own in each ARN.
    for name, value in {**names, "accountId": ACCOUNT, ":region:": f":{region}:"}.items():
        text = text.replace(name, value)
    return json.loads(text)


@dataclass
class Logging:
    """Bedrock's clients of one region, in which nobody else logs."""

    gateway: Gateway
    region: str

    def client(self, service: str) -> Any:
        return self.gateway.client(service, self.region)

    def put(self, **configuration: Any) -> None:
        self.client("bedrock").put_model_invocation_logging_configuration(
            loggingConfig=configuration
        )

    def get(self) -> dict[str, Any] | None:
        told: dict[str, Any] = self.client("bedrock").get_model_invocation_logging_configuration()
        return told.get("loggingConfig")

    def bucket(self, name: str) -> str:
        where = {"LocationConstraint": self.region}
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
        return name

    def role(self, name: str, group: str) -> str:
        """The role of the documents: RUN-003 and RUN-004."""
        iam = self.client("iam")
        trust = json.dumps(example(3, self.region))
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        policy = json.dumps(example(4, self.region, logGroupName=group))
        iam.put_role_policy(RoleName=name, PolicyName="logs", PolicyDocument=policy)
        return role["Arn"]

    def converse(self, text: str = "hi", **params: Any) -> str:
        """The request's ID."""
        message = {"role": "user", "content": [{"text": text}]}
        asked: Any = self.client("bedrock-runtime").converse
        answer = asked(modelId=MODEL, messages=[message], **params)
        return answer["ResponseMetadata"]["RequestId"]

    def keys(self, bucket: str) -> list[str]:
        pages: Any = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def read(self, bucket: str, key: str) -> bytes:
        found = self.client("s3").get_object(Bucket=bucket, Key=key)
        assert found["ContentEncoding"] == "gzip"
        return gzip.decompress(found["Body"].read())

    def records(self, bucket: str) -> list[dict[str, Any]]:
        """All that the bucket has, in the order of their keys."""
        logs = [key for key in self.keys(bucket) if key.endswith(".gz") and "/data/" not in key]
        return [json.loads(line) for key in logs for line in self.read(bucket, key).splitlines()]

    def events(self, group: str) -> list[str]:
        told = self.client("logs").get_log_events(
            logGroupName=group, logStreamName=STREAM, startFromHead=True
        )
        return [event["message"] for event in told["events"]]


@contextmanager
def logging_in(gateway: Gateway, region: str) -> Generator[Logging]:
    logging = Logging(gateway, region)
    yield logging
    logging.client("bedrock").delete_model_invocation_logging_configuration()


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What it finds, once that is something."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)
    return found
