"""What each OpenAI-compatible server can do beyond, or lacks of, OpenAI's own interface.

OpenAI's own service is known by its address, every other server by its model list: ``owned_by``
says who serves. Unknown ones get plain OpenAI. Sources: the servers' own documentation; llama.cpp's
answers were also tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec


@dataclass(frozen=True, slots=True)
class Peer:
    """``neutral`` switches off samplers that the server would otherwise apply unasked.

    ``include_stop``: it can return the stop sequence it met. ``counts``: how an answer's tokens are
    told while it streams. ``tokenizer``: which requests count tokens. ``truncation``: it can cut
    the start of a prompt. ``pdf`` and ``video``: it documents a content part for them (images have
    one everywhere). ``effort`` and ``budget``: it documents how hard, or how many tokens long, a
    model may be asked to think. ``max_tokens`` is its name for the limit of an answer.
    """

    name: str
    neutral: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stream: Mapping[str, Any] = field(default_factory=dict[str, Any])
    top_k: bool = False
    prefill: Mapping[str, Any] | None = None
    include_stop: bool = False
    continuous_usage: bool = False
    tokenizer: str | None = None
    truncation: bool = False
    logit_bias: bool = True
    tool_choice: bool = True
    named_tool: bool = True
    pdf: bool = False
    video: bool = False
    effort: bool = False
    budget: bool = False
    max_tokens: str = "max_tokens"


PLAIN = Peer("openai")
OPENAI = Peer("openai.com", pdf=True, effort=True, max_tokens="max_completion_tokens")
VLLM = Peer(
    "vllm",
    neutral={"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    top_k=True,
    prefill={"continue_final_message": True, "add_generation_prompt": False},
    include_stop=True,
    continuous_usage=True,
    tokenizer="vllm",
    truncation=True,
    video=True,
    effort=True,
    budget=True,
)
LLAMA_CPP = Peer(
    "llama.cpp",
    neutral={"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0},
    stream={"timings_per_token": True},
    top_k=True,
    prefill={},
    tokenizer="llama.cpp",
    named_tool=False,
)
OLLAMA = Peer("ollama", prefill={}, logit_bias=False, tool_choice=False, effort=True)
TGI = Peer("tgi", logit_bias=False)

ALL = (PLAIN, OPENAI, VLLM, LLAMA_CPP, OLLAMA, TGI)
_OPENAI_HOST = "api.openai.com"
_BY_OWNER = {"vllm": VLLM, "llamacpp": LLAMA_CPP, "library": OLLAMA}


class Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None


class ModelList(msgspec.Struct):
    data: list[Listed] = []


def recognize(models: ModelList, url: str) -> Peer:
    """TGI names the model as its own owner; llama.cpp, vLLM and Ollama name themselves. Many name
    OpenAI as the owner who are not."""
    if urlsplit(url).hostname == _OPENAI_HOST:
        return OPENAI
    if not models.data:
        return PLAIN
    first = models.data[0]
    if first.owned_by == first.id:
        return TGI
    return _BY_OWNER.get(first.owned_by or "", PLAIN)
