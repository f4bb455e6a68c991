"""Requests to the store, made from validated parameters alone, and its answers read the same way.

botocore's own model writes and reads them, so nothing passes that the operation does not have:
neither what a client sends besides, nor what the store tells of itself.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast
from urllib.parse import quote

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
from botocore.awsrequest import HeadersDict

from outcrop.authorization.s3 import read_copy_source
from outcrop.errors import ServiceError
from outcrop.objects.protocol import ObjectsError, StoreAnswer, StoreRequest
from outcrop.services.call import Call
from outcrop.services.s3.keys import Coding, Named, Plain
from outcrop.services.s3.refusals import read_refusal, unreachable

_ANSWER_BYTES = 32 << 20
_NAMED, _PLAIN = Named(), Plain()
_PAYLOAD: Final = {"PutObject": "Body", "UploadPart": "Body"}
# Checked or decided here, and not the store's to know.
_OURS = frozenset(
    {
        "ACL",
        "BucketKeyEnabled",
        "ChecksumAlgorithm",
        "ContentLength",
        "ContentMD5",
        "ExpectedBucketOwner",
        "ExpectedSourceBucketOwner",
        "RequestPayer",
        "SSEKMSKeyId",
        "ServerSideEncryption",
    }
)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that passes through, and its length."""

    pieces: AsyncIterator[bytes]
    size_bytes: int


async def send(
    call: Call,
    params: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    upload: Upload | None = None,
    operation: str | None = None,
) -> StoreAnswer:
    """``headers`` are added to those that follow from the parameters."""
    request = _request(
        operation or call.operation.name, _encoded(coding_of(call), params), headers or {}, upload
    )
    try:
        return await call.objects.store.send(request)
    except ObjectsError as error:
        raise unreachable(error) from error


async def result_of(
    call: Call, answer: StoreAnswer, operation: str | None = None
) -> dict[str, Any]:
    """The parsed answer by wire names; a refusal is raised."""
    if answer.status >= 300:
        raise await read_refusal(answer)
    body = await _read(answer)
    model = _model(operation or call.operation.name)
    parsed = _parser().parse(
        {"status_code": answer.status, "headers": HeadersDict(dict(answer.headers)), "body": body},
        model.output_shape,
    )
    parsed.pop("ResponseMetadata", None)
    return cast(dict[str, Any], parsed)


async def forward(
    call: Call,
    params: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    operation: str | None = None,
) -> dict[str, Any]:
    answer = await send(call, params, headers, operation=operation)
    return await result_of(call, answer, operation)


def coding_of(call: Call) -> Coding:
    return _NAMED if call.objects.is_own else _PLAIN


def _encoded(coding: Coding, params: Mapping[str, Any]) -> Mapping[str, Any]:
    changed: dict[str, Any] = {}
    if "Key" in params:
        changed["Key"] = coding.key(params["Key"])
    if "CopySource" in params:
        bucket, key, version = read_copy_source(params["CopySource"])
        source = quote(f"{bucket}/{coding.key(key)}", safe="/-_.~")
        changed["CopySource"] = f"{source}?versionId={version}" if version else source
    return {**params, **changed}


def _request(
    name: str, params: Mapping[str, Any], headers: Mapping[str, str], upload: Upload | None
) -> StoreRequest:
    kept = {k: v for k, v in params.items() if k not in _OURS and k != _PAYLOAD.get(name)}
    made = _serializer().serialize_to_request(kept, _model(name))
    path, _, literals = made["url_path"].partition("?")
    pairs = [part for part in literals.split("&") if part]
    pairs += [f"{quote(k, '-_.~')}={quote(_text(v), '-_.~')}" for k, v in _pairs(made)]
    sent = {k.lower(): _text(v) for k, v in made["headers"].items()} | dict(headers)
    sent.pop("content-md5", None)
    body: Any = made["body"]
    return StoreRequest(
        made["method"],
        quote(path, safe="/~%-_."),
        "&".join(pairs),
        sent,
        upload.pieces if upload else body.encode() if isinstance(body, str) else bytes(body),
        upload.size_bytes if upload else None,
    )


def _pairs(made: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in made["query_string"].items():
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        pairs += [(name, one) for one in values]
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _read(answer: StoreAnswer) -> bytes:
    body = bytearray()
    try:
        async with aclosing(cast(Any, answer.body)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > _ANSWER_BYTES:
                    raise ServiceError("InternalError", "The answer is too long.", status=500)
    except ObjectsError as error:
        raise unreachable(error) from error
    return bytes(body)


# botocore ships no types for these; their values are typed where they leave this module.
@cache
def _service() -> Any:
    loaded: Any = cast(Any, botocore.loaders).Loader().load_service_model("s3", "service-2")
    return cast(Any, botocore.model).ServiceModel(loaded, "s3")


@cache
def _model(name: str) -> Any:
    return _service().operation_model(name)


@cache
def _serializer() -> Any:
    # Validated by the gateway already.
    return cast(Any, botocore.serialize).create_serializer("rest-xml", False)


@cache
def _parser() -> Any:
    return cast(Any, botocore.parsers).create_parser("rest-xml")
