"""InvokeModel and InvokeModelWithResponseStream: a family's own JSON in, its own JSON out."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from outcrop.dialects import embedding_dialect, text_dialect
from outcrop.dialects.protocol import Chunks, Rendering, TextDialect
from outcrop.errors import ValidationException
from outcrop.services.bedrock_runtime.embedding import embed
from outcrop.services.bedrock_runtime.inference import Run, start
from outcrop.services.bedrock_runtime.native import (
    NOT_STREAMING,
    count_headers,
    read_native,
    stream_metrics,
)
from outcrop.services.bedrock_runtime.targets import Target, resolve
from outcrop.services.call import Answer, Call, StreamAnswer
from outcrop.services.operation import operation
from outcrop.wire import json

_METRICS = "amazon-bedrock-invocationMetrics"


@operation
async def invoke_model(call: Call, params: Mapping[str, Any]) -> Answer:
    target = await resolve(call, params["modelId"])
    model = target.model
    if "EMBEDDING" in model.output_modalities:
        return await _embed(call, target, params)
    dialect = text_dialect(model)
    body, generation = await read_native(params, model, dialect.parse)
    run = await start(call, target, generation)
    headers = run.headers
    answers = await run.completions()
    rendering = Rendering(body, model, call.request_id, run.elapsed_ms)
    return _json_answer(
        dialect.render(answers, rendering), headers | count_headers(run, _counts_cache(dialect))
    )


async def _embed(call: Call, target: Target, params: Mapping[str, Any]) -> Answer:
    model = target.model
    dialect = embedding_dialect(model)
    body, request = await read_native(params, model, dialect.parse)
    began = time.monotonic()
    embeddings, headers = await embed(call, target, request)
    latency_ms = round((time.monotonic() - began) * 1000)
    rendering = Rendering(body, model, call.request_id, lambda: latency_ms)
    headers |= {
        "X-Amzn-Bedrock-Invocation-Latency": str(latency_ms),
        "X-Amzn-Bedrock-Input-Token-Count": str(sum(embeddings.input_tokens)),
    }
    return _json_answer(dialect.render(embeddings, rendering), headers)


def _json_answer(body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    result = {"body": json.encode(body), "contentType": "application/json"}
    return Answer(result, headers)


@operation
async def invoke_model_with_response_stream(call: Call, params: Mapping[str, Any]) -> StreamAnswer:
    target = await resolve(call, params["modelId"])
    model = target.model
    if not model.streaming:
        raise ValidationException(NOT_STREAMING)
    dialect = text_dialect(model)
    body, generation = await read_native(params, model, dialect.parse)
    run = await start(call, target, generation)
    rendering = Rendering(body, model, call.request_id, run.elapsed_ms)
    chunks = _chunks(run, dialect.chunks(rendering), dialect)
    return StreamAnswer({"contentType": "application/json"}, chunks, run.headers)


async def _chunks(
    run: Run, chunks: Chunks, dialect: TextDialect
) -> AsyncGenerator[Mapping[str, Any]]:
    """The family's chunk objects; the metrics go into the last, or into one of their own."""
    async with aclosing(run.events()) as events:
        async for index, event in events:
            ready = chunks.feed(event, index)
            if run.is_finished:
                _add_metrics(ready, run, dialect)
            for chunk in ready:
                yield {"chunk": {"bytes": json.encode(chunk)}}


def _add_metrics(chunks: list[dict[str, Any]], run: Run, dialect: TextDialect) -> None:
    metrics = {_METRICS: stream_metrics(run, _counts_cache(dialect))}
    if getattr(dialect, "METRICS_APART", False) or not chunks:
        chunks.append(metrics)
    else:
        chunks[-1] = {**chunks[-1], **metrics}


def _counts_cache(dialect: TextDialect) -> bool:
    return getattr(dialect, "COUNTS_CACHE", False)
