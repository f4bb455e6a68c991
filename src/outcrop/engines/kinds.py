"""The engine classes by the kind of their configuration.

Each is imported when the first of its kind is built: what a deployment does not use (an HTTP
client, numpy, AWS's SDK) costs it neither start time nor memory.
"""

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any, Final

from outcrop.config import EngineConfig, Llama, Onnx, OpenAI, Scripted, Upstream

_PLACES: Final[Mapping[type[EngineConfig], tuple[str, str]]] = {
    Llama: ("outcrop.engines.llama.engine", "LlamaEngine"),
    Onnx: ("outcrop.engines.onnx.engine", "OnnxEngine"),
    OpenAI: ("outcrop.engines.openai.engine", "OpenAIEngine"),
    Scripted: ("outcrop.engines.scripted", "ScriptedEngine"),
    Upstream: ("outcrop.engines.upstream.engine", "UpstreamEngine"),
}


async def engine_class(config: EngineConfig) -> Any:
    """What builds an engine from ``config``; imported in a thread, so that requests go on."""
    module, name = _PLACES[type(config)]
    return getattr(await asyncio.to_thread(importlib.import_module, module), name)
