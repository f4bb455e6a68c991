"""The kinds of engines as ``[engines.NAME]`` says them; ``outcrop.config`` has their names too.

A kind that is new goes into ``EngineConfig``, the only list of them.
"""

from typing import Annotated

import msgspec

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Llama(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="llama",
):
    """llama.cpp in child processes of ours. ``model`` is a known name (``outcrop models list``)
    or a GGUF file; ``context`` is tokens a slot; ``threads`` 0 counts the CPUs that are free."""

    model: str
    context: Annotated[int, msgspec.Meta(ge=16)] = 4096
    slots: AtLeastOne = 4
    threads: NotNegative = 0
    gpu_layers: int = 0
    queue: NotNegative = 64
    timeout_s: Seconds = 300.0


class OpenAI(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="openai",
):
    """Any OpenAI-compatible server (vLLM, Ray Serve LLM, Ollama, TGI). ``url`` ends in ``/v1``.
    ``lora_dir`` is a folder that the server sees too: through it go the adapters of custom models,
    to a server that loads LoRA while it runs (vLLM). They lie there unsealed while it does: it is
    to be in memory, which nothing but ``outcrop doctor`` looks at."""

    url: str
    model: str | None = None
    api_key_env: str | None = None
    lora_dir: str | None = None
    context: AtLeastOne = 8192
    queue: AtLeastOne = 256
    timeout_s: Seconds = 300.0


class Upstream(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="bedrock",
):
    """AWS Bedrock itself (or another Outcrop), signed with the credentials the AWS SDK finds."""

    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    model: str | None = None
    queue: AtLeastOne = 256
    timeout_s: Seconds = 300.0


class Onnx(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="onnx",
):
    """Sentence embeddings on ONNX Runtime, in a worker process."""

    model: str
    threads: AtLeastOne = 1
    queue: AtLeastOne = 256
    timeout_s: Seconds = 60.0


class Scripted(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="scripted",
):
    """Deterministic answers for tests and load measurement. Never a default."""

    tokens: NotNegative | None = None
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0


EngineConfig = Llama | OpenAI | Upstream | Onnx | Scripted
