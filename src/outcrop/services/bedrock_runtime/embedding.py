"""One embedding: admitted, computed where there is quota and capacity left, and accounted."""

import time

from outcrop.generation import EmbeddingRequest, Embeddings
from outcrop.quotas.estimate import estimate_texts
from outcrop.services.bedrock_runtime.admission import Admission, Demand
from outcrop.services.bedrock_runtime.inference import engine_in
from outcrop.services.bedrock_runtime.regions import in_some_region
from outcrop.services.bedrock_runtime.targets import Target
from outcrop.services.call import Call


async def embed(
    call: Call, target: Target, request: EmbeddingRequest
) -> tuple[Embeddings, dict[str, str]]:
    """The vectors, and the headers that tell what made them and where."""

    async def begin(admission: Admission) -> tuple[Embeddings, str, Admission]:
        engine = await engine_in(call, target, admission.region)
        made = await engine.embed(request) if request.texts else Embeddings((), ())
        return made, engine.served_by, admission

    demand = Demand(estimate_texts(request.texts), 0)
    began = time.monotonic()
    made, served_by, admission = await in_some_region(call, target, demand, begin)
    noted = call.seen.invocation
    if noted is not None:
        noted.engine, noted.region = served_by, admission.region
        noted.input_tokens = sum(made.input_tokens)
        noted.latency_ms = round((time.monotonic() - began) * 1000)
    await admission.settle(sum(made.input_tokens), 0)
    return made, {"x-outcrop-served-by": served_by, **admission.headers}
