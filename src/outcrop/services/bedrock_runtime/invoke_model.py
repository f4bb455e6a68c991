"""InvokeModel and InvokeModelWithResponseStream: a family's own JSON in, its own JSON out."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from outcrop.catalog.model import Model
from outcrop.dialects import embedding_dialect, text_dialect
from outcrop.dialects.protocol import Chunks, Rendering, TextDialect
from outcrop.errors import ValidationException
from outcrop.generation import Embeddings
from outcrop.services.bedrock_runtime.inference import Run, engine_of, start
from outcrop.services.bedrock_runtime.native import (
    NOT_STREAMING,
    count_headers,
    model_of,
    read_native,
    stream_metrics,
)
from outcrop.services.call import Answer, Call, StreamAnswer
from outcrop.services.operation import operation
from outcrop.wire import json

_METRICS = "amazon-bedrock-invocationMetrics"


@operation
async def invoke_model(call: Call, params: Mapping[str, Any]) -> Answer:
    model = model_of(call, params["modelId"])
    if "EMBEDDING" in model.output_modalities:
        return await _embed(call, model, params)
    dialect = text_dialect(model)
    body, generation = await read_native(params, model, dialect.parse)
    run = await start(call, model, params["modelId"], generation)
    answers = await run.completions()
    rendering = Rendering(body, model, call.request_id, run.elapsed_ms)
    return _json_answer(
        dialect.render(answers, rendering), count_headers(run, _counts_cache(dialect))
    )


async def _embed(call: Call, model: Model, params: Mapping[str, Any]) -> Answer:
    dialect = embedding_dialect(model)
    body, request = await read_native(params, model, dialect.parse)
    engine = await engine_of(call, model, params["modelId"])
    began = time.monotonic()
    embeddings = await engine.embed(request) if request.texts else Embeddings((), ())
    latency_ms = round((time.monotonic() - began) * 1000)
    rendering = Rendering(body, model, call.request_id, lambda: latency_ms)
    headers = {
        "x-outcrop-served-by": engine.served_by,
        "X-Amzn-Bedrock-Invocation-Latency": str(latency_ms),
        "X-Amzn-Bedrock-Input-Token-Count": str(sum(embeddings.input_tokens)),
    }
    return _json_answer(dialect.render(embeddings, rendering), headers)


def _json_answer(body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    result = {"body": json.encode(body), "contentType": "application/json"}
    return Answer(result, headers)


@operation
async def invoke_model_with_response_stream(call: Call, params: Mapping[str, Any]) -> StreamAnswer:
    model = model_of(call, params["modelId"])
    if not model.streaming:
        raise ValidationException(NOT_STREAMING)
    dialect = text_dialect(model)
    body, generation = await read_native(params, model, dialect.parse)
    run = await start(call, model, params["modelId"], generation)
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
