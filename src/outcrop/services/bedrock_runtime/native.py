"""InvokeModel's body on its way in and out: media types, limits, features that are not there."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from outcrop.catalog.model import Model
from outcrop.errors import ValidationException
from outcrop.services.bedrock_runtime.inference import Run
from outcrop.services.offload import read_beside
from outcrop.wire import json

Parsed = TypeVar("Parsed")

NOT_STREAMING = "The model is unsupported for streaming."

_JSON = "application/json"
_MALFORMED = "Malformed input request, please reformat your input and try again."


async def read_native(
    params: Mapping[str, Any], model: Model, parse: Callable[[Any, Model], Parsed]
) -> tuple[dict[str, Any], Parsed]:
    """The body's JSON object and what the dialect's ``parse`` makes of it, once its media types
    and headers are ones we serve."""
    _check_media_type(params.get("contentType"), "Content")
    _check_media_type(params.get("accept"), "Accept")
    _check_features(params)
    text: bytes = params.get("body", b"")

    def read() -> tuple[dict[str, Any], Parsed]:
        body = decode_body(text)
        return body, parse(body, model)

    return await read_beside(len(text), read)


def decode_body(text: bytes) -> dict[str, Any]:
    try:
        body = json.decode(text)
    except json.MalformedJson as error:
        raise ValidationException(_MALFORMED) from error
    if not isinstance(body, dict):
        raise ValidationException(_MALFORMED)
    return cast(dict[str, Any], body)


def _check_media_type(value: str | None, kind: str) -> None:
    """``*/*`` and an absent header mean JSON. The sentence for Content is recorded from AWS
    (aws/aws-sdk-ruby#3033); the one for Accept is formed after it."""
    media_type = (value or _JSON).split(";", 1)[0].strip().lower()
    if media_type not in (_JSON, "*/*", "application/*"):
        raise ValidationException(
            f"The provided {kind} Type is invalid or not supported for this model"
        )


def _check_features(params: Mapping[str, Any]) -> None:
    if "guardrailIdentifier" in params:
        raise ValidationException("Guardrails are not available in this deployment.")
    if params.get("performanceConfigLatency", "standard") != "standard":
        raise ValidationException("Latency optimized inference is not available for this model.")
    if params.get("serviceTier", "default") != "default":
        raise ValidationException(
            f"The service tier {params['serviceTier']!r} is not available for this model."
        )


def count_headers(run: Run, counts_cache: bool) -> dict[str, str]:
    """``counts_cache``: the family tells of the prompt cache in every answer, not only where it
    was used."""
    headers = {
        "X-Amzn-Bedrock-Invocation-Latency": str(run.elapsed_ms()),
        "X-Amzn-Bedrock-Input-Token-Count": str(run.input_tokens),
        "X-Amzn-Bedrock-Output-Token-Count": str(run.output_tokens),
    }
    if counts_cache or _used_cache(run):
        headers["X-Amzn-Bedrock-Cache-Read-Input-Token-Count"] = str(run.cache_read_tokens)
        headers["X-Amzn-Bedrock-Cache-Write-Input-Token-Count"] = str(run.cache_write_tokens)
    return headers


def stream_metrics(run: Run, counts_cache: bool) -> dict[str, Any]:
    metrics = {
        "inputTokenCount": run.input_tokens,
        "outputTokenCount": run.output_tokens,
        "invocationLatency": run.elapsed_ms(),
        "firstByteLatency": run.first_event_ms,
    }
    if counts_cache or _used_cache(run):
        metrics["cacheReadInputTokenCount"] = run.cache_read_tokens
        metrics["cacheWriteInputTokenCount"] = run.cache_write_tokens
    return metrics


def _used_cache(run: Run) -> bool:
    return bool(run.cache_read_tokens or run.cache_write_tokens)
