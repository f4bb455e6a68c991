"""Converse and ConverseStream: one form for every model, over the same runs as InvokeModel."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from outcrop.catalog.model import Model
from outcrop.dialects import converse as dialect, text_dialect
from outcrop.dialects.converse_stream import Events
from outcrop.dialects.protocol import Rendering
from outcrop.errors import ValidationException
from outcrop.generation import Completion
from outcrop.services.bedrock_runtime.inference import Run, start
from outcrop.services.bedrock_runtime.native import NOT_STREAMING
from outcrop.services.bedrock_runtime.targets import Target, resolve
from outcrop.services.call import Answer, Call, StreamAnswer
from outcrop.services.offload import read_beside
from outcrop.services.operation import operation


@operation
async def converse(call: Call, params: Mapping[str, Any]) -> Answer:
    target = await resolve(call, params["modelId"])
    model = target.model
    run = await _start(call, target, params)
    headers = run.headers
    (completion,) = await run.completions()
    native = None
    if dialect.wants_native(params):
        native = _native(call, model, params, run, completion)
    result = dialect.render(completion, params, model, run.elapsed_ms(), native)
    return Answer(result, headers)


@operation
async def converse_stream(call: Call, params: Mapping[str, Any]) -> StreamAnswer:
    target = await resolve(call, params["modelId"])
    model = target.model
    if not model.streaming:
        raise ValidationException(NOT_STREAMING)
    run = await _start(call, target, params)
    events = Events(
        params,
        model,
        run.elapsed_ms,
        lambda completion: _native(call, model, params, run, completion),
    )
    return StreamAnswer({}, _events(run, events), run.headers)


async def _start(call: Call, target: Target, params: Mapping[str, Any]) -> Run:
    model = target.model
    # Models that do not converse (those of images, say) may have no dialect of text either.
    extend = text_dialect(model).extend if "converse" in model.supports else None
    generation = await read_beside(
        len(call.request.body), lambda: dialect.parse(params, model, extend)
    )
    return await start(call, target, generation)


async def _events(run: Run, events: Events) -> AsyncGenerator[Mapping[str, Any]]:
    async with aclosing(run.events()) as indexed:
        async for _, event in indexed:
            for ready in events.feed(event):
                yield ready


def _native(
    call: Call, model: Model, params: Mapping[str, Any], run: Run, completion: Completion
) -> dict[str, Any]:
    """The answer as the family itself would give it, for additionalModelResponseFieldPaths."""
    rendering = Rendering(params, model, call.request_id, run.elapsed_ms)
    return text_dialect(model).render([completion], rendering)
