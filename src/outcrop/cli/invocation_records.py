"""Invocation-log records as a server has them: log events of a group, or objects in a bucket."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import botocore.session
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from outcrop.stores.failures import StoreError
from outcrop.wire import json

STREAM: Final = "aws/bedrock/modelinvocations"
_SCHEMA: Final = "ModelInvocationLog"
_LARGE_DATA: Final = "/data/"
_MOST_BYTES: Final = 512 * 1024 * 1024
"""Of one object, once it is unpacked."""


@dataclass(frozen=True, slots=True)
class Server:
    """``variables`` are those that ``outcrop env`` prints."""

    variables: Mapping[str, str]
    _clients: dict[str, Any] = field(default_factory=dict[str, Any])

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _make(self, service: str) -> Any:
        session: Any = botocore.session.Session()
        bundle = self.variables.get("AWS_CA_BUNDLE")
        return session.create_client(
            service,
            region_name=self.variables["AWS_REGION"],
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            verify=bundle if bundle else None,
            config=ClientConfig(retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}),
        )


class NoRecords(StoreError):
    pass


def configured_group(server: Server) -> str:
    """The log group that the account's invocations are logged to."""
    answer = _ask(server, "bedrock", "get_model_invocation_logging_configuration")
    logging: dict[str, Any] = answer.get("loggingConfig") or {}
    group = logging.get("cloudWatchConfig", {}).get("logGroupName")
    if group:
        return group
    bucket = logging.get("s3Config")
    if bucket:
        prefix = bucket.get("keyPrefix", "")
        raise NoRecords(
            "This account logs its invocations to S3 alone: add "
            f"--s3 s3://{bucket['bucketName']}/{prefix}"
        )
    raise NoRecords(
        "This account does not log its invocations. Configure it with `aws bedrock "
        "put-model-invocation-logging-configuration`, or name a --log-group or --s3."
    )


def read_group(server: Server, group: str) -> Iterator[bytes]:
    params: dict[str, Any] = {"logGroupName": group, "logStreamNames": [STREAM]}
    while True:
        page = _ask(server, "logs", "filter_log_events", **params)
        for event in page["events"]:
            yield from _records(event["message"].encode())
        if "nextToken" not in page:
            return
        params["nextToken"] = page["nextToken"]


def read_objects(server: Server, url: str) -> Iterator[bytes]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        raise NoRecords(f"{url} is no place in S3: write s3://BUCKET or s3://BUCKET/PREFIX.")
    params: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = _ask(server, "s3", "list_objects_v2", **params)
        for item in page.get("Contents", ()):
            key = item["Key"]
            if key.endswith(".json.gz") and _LARGE_DATA not in key:
                yield from _object(server, bucket, key)
        if not page.get("IsTruncated"):
            return
        params["ContinuationToken"] = page["NextContinuationToken"]


def _object(server: Server, bucket: str, key: str) -> Iterator[bytes]:
    answer = _ask(server, "s3", "get_object", Bucket=bucket, Key=key)
    body = answer["Body"].read()
    left = _MOST_BYTES
    try:
        with gzip.open(io.BytesIO(body)) as unpacked:
            for line in unpacked:
                left -= len(line)
                if left < 0:
                    raise NoRecords(f"s3://{bucket}/{key} holds more than {_MOST_BYTES} bytes.")
                yield from _records(line)
    except (OSError, EOFError, zlib.error) as error:
        raise NoRecords(f"s3://{bucket}/{key} cannot be unpacked: {error}") from error


def _records(line: bytes) -> Iterator[bytes]:
    """None for what is no record, such as the line that says that permissions are right."""
    try:
        record = json.decode(line)
    except json.MalformedJson:
        return
    if not isinstance(record, dict):
        return
    known = cast("dict[str, Any]", record)
    if known.get("schemaType") == _SCHEMA:
        yield json.encode(known)


def _ask(server: Server, service: str, operation: str, **params: Any) -> dict[str, Any]:
    try:
        return getattr(server.client(service), operation)(**params)
    except ClientError as error:
        raise NoRecords(f"{service} refused: {error}") from error
    except BotoCoreError as error:
        raise NoRecords(
            f"{error} Start the server with `outcrop serve`, or name its data directory."
        ) from error
