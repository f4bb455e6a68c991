"""One call of a model as AWS's log record, for each of its destinations.

Bodies are spliced in as they are. One over 100 KB, and what is no JSON, goes beside the record as
an object of its own, to which the record points.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from outcrop.invocations.configurations import hour_folder, wants
from outcrop.invocations.converse_streams import fold
from outcrop.journal.records import CLIENT_GONE, CallRecord, Content, Invocation
from outcrop.stores.model_records import LogBucket, LoggingConfiguration

LARGE_BYTES: Final = 100 * 1024
"""Of a body's JSON without the whitespace between its tokens."""

_FIRST_ERROR: Final = 400
_JSON: Final = "application/json"
_NO_TYPES: Final = ("", "application/octet-stream")
"""What SDKs send where nobody named a type, which is JSON then."""

Side = Literal["input", "output"]

_encode: Final = msgspec.json.Encoder().encode
_format: Final = msgspec.json.format


class Large(msgspec.Struct, frozen=True, array_like=True):
    """The object that a body becomes: its name in the folder ``data/`` and its type."""

    name: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What of a batch its records tell: where the objects beside them lie."""

    account: str
    region: str
    began_at_ms: int


# Not frozen, as whatever is made once a record: that costs as much as half of its JSON.
@dataclass(slots=True)
class Rendered:
    """``line`` is for the bucket, ``event`` for the log group: they differ in where they point to.
    Both are JSON without a line end."""

    line: bytes
    event: bytes
    large: tuple[tuple[Large, bytes], ...]


class _Identity(msgspec.Struct, gc=False):
    arn: str


class _Input(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    input_content_type: str
    input_body_json: msgspec.Raw | UnsetType = UNSET
    input_body_s3_path: str | UnsetType = UNSET
    input_token_count: int
    cache_read_input_token_count: int | UnsetType = UNSET
    cache_write_input_token_count: int | UnsetType = UNSET


class _Output(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    output_content_type: str
    output_body_json: msgspec.Raw | UnsetType = UNSET
    output_body_s3_path: str | UnsetType = UNSET
    output_token_count: int


class _Record(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    schema_type: str = "ModelInvocationLog"
    schema_version: str = "1.0"
    timestamp: str
    account_id: str
    identity: _Identity
    region: str
    request_id: str
    operation: str
    model_id: str
    input: _Input
    output: _Output | UnsetType = UNSET
    request_metadata: dict[str, str] | UnsetType = UNSET
    inference_region: str | UnsetType = UNSET
    error_code: str | UnsetType = UNSET


@dataclass(slots=True)
class _Body:
    """Either within the record or beside it, or neither where it is not wanted."""

    json: bytes | None = None
    large: Large | None = None
    data: bytes = b""


_NOTHING: Final = _Body()


def is_logged(record: CallRecord) -> bool:
    return record.content is not None and record.invocation is not None


def render(record: CallRecord, configuration: LoggingConfiguration, batch: Batch) -> Rendered:
    """Of a record that ``is_logged``."""
    content, invocation = record.content, record.invocation
    if content is None or invocation is None:
        raise ValueError(f"the request {record.request_id} is not logged")
    given, answered = _bodies(record, content, invocation, configuration)
    log = _log(record, content, invocation)
    if given.json is not None:
        log.input.input_body_json = msgspec.Raw(given.json)
    if log.output is not UNSET and answered.json is not None:
        log.output.output_body_json = msgspec.Raw(answered.json)
    if given.large is None and answered.large is None:
        line = _encode(log)
        return Rendered(line, line, ())
    large = tuple((body.large, body.data) for body in (given, answered) if body.large is not None)
    bucket = configuration.group.large if configuration.group else None
    event = _encoded(log, given.large, answered.large, bucket, batch)
    if configuration.s3 == bucket:
        return Rendered(event, event, large)
    line = _encoded(log, given.large, answered.large, configuration.s3, batch)
    return Rendered(line, event, large)


def _bodies(
    record: CallRecord,
    content: Content,
    invocation: Invocation,
    configuration: LoggingConfiguration,
) -> tuple[_Body, _Body]:
    if not wants(configuration, invocation.modality):
        return _NOTHING, _NOTHING
    given = _body(content.input, content.input_type, record, "input")
    if not _has_output(record):
        return given, _NOTHING
    output, is_image = content.output, invocation.modality == "image"
    if record.operation == "ConverseStream" and output:
        output = _folded(output)
    return given, _body(output, content.output_type, record, "output", is_binary=is_image)


def _has_output(record: CallRecord) -> bool:
    """Whether it got as far as an answer: an error within a stream has the status of its start."""
    return record.status < _FIRST_ERROR or record.status == CLIENT_GONE


def _body(
    raw: bytes, content_type: str, record: CallRecord, side: Side, *, is_binary: bool = False
) -> _Body:
    if not raw:
        return _NOTHING
    text = _compact(raw)
    if text is not None and not is_binary and len(text) <= LARGE_BYTES:
        return _Body(text)
    ending = "gz" if text is None else "json.gz"
    large = Large(f"{record.request_id}_{side}.{ending}", _named(content_type))
    return _Body(large=large, data=raw)


def _named(content_type: str) -> str:
    return _JSON if content_type in _NO_TYPES else content_type


def _compact(raw: bytes) -> bytes | None:
    """Without whitespace between its tokens, which are left as they are; None for what is no JSON
    that every reader reads."""
    try:
        if not raw.isascii():
            raw.decode()
        return _format(raw, indent=-1)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None


def _folded(events: bytes) -> bytes:
    """What is no stream of events is kept as it is: nothing of it is to be lost."""
    try:
        return fold(events) or b""
    except (msgspec.MsgspecError, RecursionError, LookupError, TypeError, ValueError):
        return events


def _log(record: CallRecord, content: Content, invocation: Invocation) -> _Record:
    where = invocation.region
    return _Record(
        timestamp=_timestamp(record.began_us // 1_000_000),
        account_id=record.account,
        identity=_Identity(record.principal),
        region=record.region,
        request_id=record.request_id,
        operation=record.operation,
        model_id=invocation.model_id,
        input=_Input(
            input_content_type=_named(content.input_type),
            input_token_count=invocation.input_tokens,
            cache_read_input_token_count=invocation.cache_read_tokens or UNSET,
            cache_write_input_token_count=invocation.cache_write_tokens or UNSET,
        ),
        output=_Output(
            output_content_type=_named(content.output_type),
            output_token_count=invocation.output_tokens,
        )
        if _has_output(record)
        else UNSET,
        request_metadata=content.metadata or UNSET,
        inference_region=where if where not in ("", record.region) else UNSET,
        error_code=record.error_code or UNSET,
    )


@lru_cache(maxsize=64)
def _timestamp(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _encoded(
    log: _Record,
    given: Large | None,
    answered: Large | None,
    bucket: LogBucket | None,
    batch: Batch,
) -> bytes:
    """Without a bucket for what is large, the record does not have it."""
    log.input.input_body_s3_path = _path(given, bucket, batch)
    if log.output is not UNSET:
        log.output.output_body_s3_path = _path(answered, bucket, batch)
    return _encode(log)


def _path(large: Large | None, bucket: LogBucket | None, batch: Batch) -> str | UnsetType:
    if large is None or bucket is None:
        return UNSET
    return f"s3://{bucket.bucket}/{data_key(bucket, batch, large)}"


def data_key(bucket: LogBucket, batch: Batch, large: Large) -> str:
    hour = hour_folder(bucket, batch.account, batch.region, batch.began_at_ms)
    return f"{hour}data/{large.name}"


def longest_key(bucket: LogBucket, account: str, region: str) -> str:
    """As long as the longest of what is put into the bucket."""
    large = Large(f"{UUID(int=0)}_output.json.gz", _JSON)
    return data_key(bucket, Batch(account, region, 0), large)
