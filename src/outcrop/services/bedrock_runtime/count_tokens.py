"""CountTokens: what a request would cost, by the tokenizer of the engine that would answer it."""

from collections.abc import Mapping
from typing import Any

from outcrop.catalog.model import Model
from outcrop.dialects import text_dialect
from outcrop.dialects.converse import NOT_COUNTED, count_tokens_generation
from outcrop.errors import ValidationException
from outcrop.generation import Generation
from outcrop.services.bedrock_runtime.inference import engine_in
from outcrop.services.bedrock_runtime.native import decode_body
from outcrop.services.bedrock_runtime.targets import resolve_counted
from outcrop.services.call import Answer, Call
from outcrop.services.offload import read_beside
from outcrop.services.operation import operation


@operation
async def count_tokens(call: Call, params: Mapping[str, Any]) -> Answer:
    target = await resolve_counted(call, params["modelId"])
    model = target.model
    if "count_tokens" not in model.supports:
        raise ValidationException(NOT_COUNTED)
    generation = await read_beside(
        len(call.request.body), lambda: _generation(params["input"], model)
    )
    engine = await engine_in(call, target, target.regions[0])
    tokens = await engine.count_tokens(generation)
    return Answer({"inputTokens": tokens}, {"x-outcrop-served-by": engine.served_by})


def _generation(counted: Mapping[str, Any], model: Model) -> Generation:
    dialect = text_dialect(model)
    if "converse" in counted:
        return count_tokens_generation(counted["converse"], model, dialect.extend)
    return dialect.parse(decode_body(counted["invokeModel"]["body"]), model)
