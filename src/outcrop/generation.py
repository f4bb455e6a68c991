"""What dialects and engines exchange. Dialects build these from a family's JSON and render them
back; engines compute with them. Neither kind of module knows the other.

A generation is a stream of events in this order:

    Started  (ReasoningDelta | [TextStarted] (TextDelta | CitationDelta)+
              | ToolUseStarted (ToolUseDelta)*)*  Finished

An engine that cannot read a kind of part, or honour a field, says so before ``Started``.

Structs of msgspec, since some are made for every token: a frozen dataclass takes ten times as long.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

Role = Literal["user", "assistant"]
Stop = Literal["end", "length", "stop_sequence", "tool_use", "filtered"]
"""``filtered``: the engine's own filters of content ended the answer."""
Truncate = Literal["none", "start", "end"]
Logprobs = Literal["none", "generation", "all"]


class Span(msgspec.Struct, frozen=True):
    """From ``start`` to before ``end`` in the request's document number ``document``, counted in
    its characters, its pages or the pieces it was given in."""

    unit: Literal["char", "page", "piece"]
    document: int | None
    start: int | None
    end: int | None


class Citation(msgspec.Struct, frozen=True):
    """What a text rests on: the document's title, the words of it, and where they stand."""

    title: str | None = None
    texts: tuple[str, ...] = ()
    span: Span | None = None


class Text(msgspec.Struct, frozen=True):
    text: str
    citations: tuple[Citation, ...] = ()


class S3Location(msgspec.Struct, frozen=True):
    """Where a file lies that only an engine with access to S3 can read."""

    uri: str
    bucket_owner: str | None = None


class Image(msgspec.Struct, frozen=True):
    """``format`` is ``png``, ``jpeg``, ``gif`` or ``webp``."""

    format: str
    data: bytes | S3Location


class Document(msgspec.Struct, frozen=True):
    """``format`` is ``txt``, ``md``, ``csv``, ``html``, ``pdf``, ``docx`` … A document of text may
    come in pieces. Where ``citations`` are on, the answer shall name what in it rests on the
    document; ``context`` is told to the model and never cited."""

    format: str
    name: str
    data: bytes | S3Location | tuple[str, ...]
    citations: bool = False
    context: str | None = None


class Video(msgspec.Struct, frozen=True):
    format: str
    data: bytes | S3Location


Media = Image | Document | Video


class Reasoning(msgspec.Struct, frozen=True):
    """What a model thought before it answered. ``signature`` and ``redacted`` are the model's own
    and go back to it unread."""

    text: str
    signature: str | None = None
    redacted: bytes | None = None


class CachePoint(msgspec.Struct, frozen=True):
    """The prompt up to here will come again: an engine that can keeps what it computed of it."""


class ToolUse(msgspec.Struct, frozen=True):
    """A call the model made: ``input`` is the JSON object of its arguments."""

    id: str
    name: str
    input: Mapping[str, Any]


class ToolResult(msgspec.Struct, frozen=True):
    """What the caller's tool answered; JSON results arrive here as compact JSON text."""

    tool_use_id: str
    text: str
    is_error: bool = False
    media: tuple[Media, ...] = ()


Part = Text | Media | Reasoning | CachePoint | ToolUse | ToolResult


class Turn(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call; ``schema`` is the JSON Schema of its arguments object."""

    name: str
    description: str
    schema: Mapping[str, Any]


class ToolChoice(msgspec.Struct, frozen=True):
    """``auto``: text or a call; ``any``: a call; ``tool``: a call of ``name``; ``none``: text."""

    mode: Literal["auto", "any", "tool", "none"] = "auto"
    name: str | None = None


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is drawn. ``None``, or the neutral value written here, means: not applied.

    temperature 0 is greedy. top_k keeps the k likeliest tokens, then top_p the likeliest ones whose
    probabilities sum to p. Penalties are subtracted from a token's logit once it has occurred in
    the prompt or the answer: presence once, frequency times its count, normalized_frequency times
    its count divided by the text's length in tokens. logit_bias maps the engine's token IDs to an
    addend.
    """

    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    normalized_frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None


class ReasoningRequest(msgspec.Struct, frozen=True):
    """The model shall think before it answers, with at most ``budget_tokens`` or as hard as
    ``effort`` (``low``, ``medium``, ``high``) says."""

    budget_tokens: int | None = None
    effort: str | None = None


class Generation(msgspec.Struct, frozen=True):
    """One request for text.

    ``turns`` is never empty and may end with an assistant turn, which the answer then continues.
    ``max_tokens`` 0 evaluates the prompt and generates nothing. ``truncate`` says what happens to a
    prompt longer than ``max_input_tokens`` (or the engine's context when that is smaller): refused
    (``none``), or cut at its start or end until it fits exactly. ``count`` answers are asked for.
    ``json_schema`` binds the answer's text to JSON of that schema. ``cached`` names the parts in
    front of the turns that end in a cache point.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    system: str | None = None
    sampling: Sampling = Sampling()
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    json_schema: Mapping[str, Any] | None = None
    logprobs: Logprobs = "none"
    truncate: Truncate = "none"
    max_input_tokens: int | None = None
    count: int = 1
    reasoning: ReasoningRequest | None = None
    cached: frozenset[Literal["system", "tools"]] = frozenset()


class Token(msgspec.Struct, frozen=True):
    """One token of prompt or answer. ``logprob`` is the natural logarithm of its probability under
    the model, before any sampler changed the distribution; ``None`` for the first of a prompt and
    for those of the chat template alone, in which the caller has no part."""

    text: str
    id: int
    logprob: float | None
    by_caller: bool = True


class Started(msgspec.Struct, frozen=True):
    """The prompt is read. ``input_tokens`` is 0 where the engine learns the count at the end only;
    ``prompt_tokens`` is filled when ``logprobs`` is ``all``."""

    input_tokens: int
    prompt_tokens: tuple[Token, ...] = ()


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer: whole characters, never part of a stop sequence.

    ``output_tokens`` counts all tokens generated so far; ``tokens`` is filled when logprobs are
    asked for.
    """

    text: str
    output_tokens: int
    tokens: tuple[Token, ...] = ()


class TextStarted(msgspec.Struct, frozen=True):
    """What follows belongs to another text than what came before. Only answers with citations have
    several texts in a row: each citation is of a whole one."""


class CitationDelta(msgspec.Struct, frozen=True):
    """The text that is being told, its start or its end, rests on this."""

    citation: Citation


class ReasoningDelta(msgspec.Struct, frozen=True):
    """A piece of the model's thought; ``signature`` and ``redacted`` come in pieces of their own,
    with empty text."""

    text: str
    output_tokens: int
    signature: str | None = None
    redacted: bytes | None = None


class ToolUseStarted(msgspec.Struct, frozen=True):
    id: str
    name: str


class ToolUseDelta(msgspec.Struct, frozen=True):
    """A piece of the JSON text of the arguments of the tool use that started last."""

    json: str
    output_tokens: int


class Finished(msgspec.Struct, frozen=True):
    """The end, with the counts that are billed. ``stop_sequence`` is the one met, if any. Of the
    prompt, ``cache_read_tokens`` were taken from a cache that the caller asked for and
    ``cache_write_tokens`` put into it; ``input_tokens`` counts the rest."""

    stop: Stop
    input_tokens: int
    output_tokens: int
    stop_sequence: str | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


Event = (
    Started
    | ReasoningDelta
    | TextStarted
    | TextDelta
    | CitationDelta
    | ToolUseStarted
    | ToolUseDelta
    | Finished
)


AnswerPart = Text | Reasoning | ToolUse


class Completion(msgspec.Struct, frozen=True):
    """A whole answer: the events of one generation, folded."""

    parts: tuple[AnswerPart, ...]
    stop: Stop
    input_tokens: int
    output_tokens: int
    stop_sequence: str | None = None
    tokens: tuple[Token, ...] = ()
    prompt_tokens: tuple[Token, ...] = ()
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolUse))


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Texts to embed. ``dimensions`` is the length of vector the caller must get, ``max_tokens``
    the model's own limit of one text; ``input_type`` (search_query, …) reaches engines that use it.
    """

    texts: tuple[str, ...]
    dimensions: int
    max_tokens: int
    truncate: Truncate = "none"
    normalize: bool = True
    input_type: str | None = None


class Embeddings(msgspec.Struct, frozen=True):
    """One vector a text, in order, and the tokens each text had by the engine's tokenizer."""

    vectors: tuple[Sequence[float], ...]
    input_tokens: tuple[int, ...]
