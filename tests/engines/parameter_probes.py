"""One request for each row of docs/parameters.md that asks an engine for exactly that."""

from typing import Any, Final

from msgspec.structs import replace

from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Part,
    ReasoningRequest,
    S3Location,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    Turn,
    Video,
)

TOOL: Final = Tool("weather", "The weather of a city.", {"type": "object", "properties": {}})
PLAIN: Final = Generation((Turn("user", (Text("Where is it dry today?"),)),), 8)
_PREFILLED: Final = (*PLAIN.turns, Turn("assistant", (Text("It is"),)))


def _sampling(**values: Any) -> Generation:
    return replace(PLAIN, sampling=Sampling(**values))


def _tools(choice: ToolChoice) -> Generation:
    return replace(PLAIN, max_tokens=64, tools=(TOOL,), tool_choice=choice)


def _beside(*parts: Part) -> Generation:
    return replace(PLAIN, turns=(Turn("user", (*PLAIN.turns[0].parts, *parts)),))


TEXT_PROBES: Final = {
    "temperature": _sampling(temperature=0.3),
    "top_p": _sampling(top_p=0.5),
    "top_k": _sampling(top_k=3),
    "presence_penalty": _sampling(presence_penalty=0.5),
    "frequency_penalty": _sampling(frequency_penalty=0.5),
    "normalized_frequency_penalty": _sampling(normalized_frequency_penalty=0.5),
    "logit_bias": _sampling(logit_bias=((7, 1.0),)),
    "seed": _sampling(seed=7),
    "max_tokens": replace(PLAIN, max_tokens=3),
    "stop_sequences": replace(PLAIN, stop_sequences=("##",)),
    "tools, auto": _tools(ToolChoice()),
    "tools, any": _tools(ToolChoice("any")),
    "tools, tool": _tools(ToolChoice("tool", "weather")),
    "tools, none": _tools(ToolChoice("none")),
    "json_schema": replace(PLAIN, json_schema={"const": 1}),
    "logprobs, generation": replace(PLAIN, logprobs="generation"),
    "logprobs, all": replace(PLAIN, logprobs="all"),
    "prefill": replace(PLAIN, turns=_PREFILLED),
    "image": _beside(Image("png", b"no picture")),
    "document, text": _beside(Document("csv", "rain", b"Oslo,12")),
    "document, pdf": _beside(Document("pdf", "rain", b"%PDF-")),
    "document, office": _beside(Document("xlsx", "rain", b"PK")),
    "video": _beside(Video("mp4", b"no film")),
    "s3Location": _beside(Image("png", S3Location("s3://films/of-rain.png"))),
    "citations": _beside(Document("txt", "rain", b"Oslo: 12", citations=True)),
    "reasoning, budget": replace(PLAIN, reasoning=ReasoningRequest(budget_tokens=1024)),
    "reasoning, effort": replace(PLAIN, reasoning=ReasoningRequest(effort="low")),
    "cached": _beside(CachePoint()),
    "truncate": replace(PLAIN, truncate="end", max_input_tokens=12),
}
"""``count`` is the gateway's affair, and ``count_tokens`` an operation of its own."""
