"""Recorded answers turned back into the neutral answer or events that they were rendered from.

``Counts`` are the tokens read and written, for families whose bodies do not tell them.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from outcrop.generation import (
    AnswerPart,
    Citation,
    CitationDelta,
    Completion,
    Event,
    Finished,
    Reasoning,
    ReasoningDelta,
    Span,
    Started,
    Stop,
    Text,
    TextDelta,
    TextStarted,
    Token,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
)

Json = dict[str, Any]
Counts = tuple[int, int]
METRICS: Final = "amazon-bedrock-invocationMetrics"

STOPS: Final[dict[str, Stop]] = {
    "end_turn": "end",
    "FINISH": "end",
    "stop": "end",
    "endoftext": "end",
    "COMPLETE": "end",
    "max_tokens": "length",
    "LENGTH": "length",
    "length": "length",
    "MAX_TOKENS": "length",
    "stop_sequence": "stop_sequence",
    "STOP_SEQUENCE": "stop_sequence",
    "tool_use": "tool_use",
    "tool_calls": "tool_use",
    "TOOL_CALL": "tool_use",
}


def completion(dialect: str, answer: Json, counts: Counts = (5, 10)) -> Completion:
    """The answer behind a recorded body of InvokeModel."""
    match dialect:
        case "titan_text":
            result = answer["results"][0]
            counts = answer["inputTextTokenCount"], result["tokenCount"]
            return _text(result["outputText"], result["completionReason"], counts)
        case "anthropic" if "completion" in answer:
            return _claude_text(answer, counts)
        case "anthropic":
            return _claude(answer)
        case "nova":
            return converse_completion(answer)
        case "llama":
            counts = answer["prompt_token_count"], answer["generation_token_count"]
            return _text(answer["generation"], answer["stop_reason"], counts)
        case "mistral":
            output = answer["outputs"][0]
            return _text(output["text"], output["stop_reason"], counts)
        case "cohere_command":
            generation = answer["generations"][0]
            return _text(generation["text"], generation["finish_reason"], counts)
        case "cohere_command_r":
            return _text(answer["text"], answer["finish_reason"], counts)
        case "jamba":
            choice, usage = answer["choices"][0], answer["usage"]
            counts = usage["prompt_tokens"], usage["completion_tokens"]
            return _text(choice["message"]["content"], choice["finish_reason"], counts)
        case _:
            return _scored(answer, counts)


def _text(text: str, reason: str, counts: Counts) -> Completion:
    return Completion((Text(text),), STOPS[reason], *counts)


def _claude_text(answer: Json, counts: Counts) -> Completion:
    text = answer["completion"].removeprefix(" ")
    if answer["stop_reason"] != "stop_sequence":
        return _text(text, answer["stop_reason"], counts)
    return Completion((Text(text),), *_claude_stop(answer["stop"], counts))


def _claude_stop(stop: str | None, counts: Counts) -> tuple[Stop, int, int, str | None]:
    """Claude's own turn marker is what it ends with; another text was asked for."""
    if stop in (None, "\n\nHuman:"):
        return "end", *counts, None
    return "stop_sequence", *counts, stop


def _claude(answer: Json) -> Completion:
    # One recorder took it out.
    usage = answer.get("usage", {"input_tokens": 0, "output_tokens": 0})
    return Completion(
        tuple(map(_claude_part, answer["content"])),
        STOPS[answer["stop_reason"]],
        usage["input_tokens"],
        usage["output_tokens"],
        answer["stop_sequence"],
        cache_read_tokens=usage.get("cache_read_input_tokens", 0),
        cache_write_tokens=usage.get("cache_creation_input_tokens", 0),
    )


def _claude_part(block: Json) -> AnswerPart:
    match block["type"]:
        case "thinking":
            return Reasoning(block["thinking"], block.get("signature"))
        case "redacted_thinking":
            return Reasoning("", redacted=block["data"].encode())
        case "tool_use":
            return ToolUse(block["id"], block["name"], block["input"])
        case _:
            return Text(block["text"])


def _scored(answer: Json, counts: Counts) -> Completion:
    done = answer["completions"][0]
    return Completion(
        (Text(done["data"]["text"]),),
        STOPS[done["finishReason"]["reason"]],
        *counts,
        tokens=_tokens(done["data"]["tokens"]),
        prompt_tokens=_tokens(answer["prompt"]["tokens"]),
    )


def _tokens(recorded: Sequence[Json]) -> tuple[Token, ...]:
    """The tokens with the text they cover; the service's first has a blank before its range."""
    made: list[Token] = []
    for each in recorded:
        told = each["generatedToken"]
        text = told["token"].replace("\u2581", " ").replace("<|newline|>", "\n")
        width = each["textRange"]["end"] - each["textRange"]["start"]
        made.append(Token(text[len(text) - width :], 0, told["raw_logprob"]))
    return tuple(made)


def converse_completion(answer: Json) -> Completion:
    """The answer behind a recorded body of Converse, or of Nova, which speaks alike."""
    usage = answer.get("usage", {"inputTokens": 0, "outputTokens": 0})
    return Completion(
        tuple(map(_converse_part, answer["output"]["message"]["content"])),
        STOPS[answer["stopReason"]],
        usage["inputTokens"],
        usage["outputTokens"],
        cache_read_tokens=usage.get("cacheReadInputTokens", 0),
        cache_write_tokens=usage.get("cacheWriteInputTokens", 0),
    )


def _converse_part(block: Json) -> AnswerPart:
    match block:
        case {"reasoningContent": {"reasoningText": thought}}:
            return Reasoning(thought["text"], thought.get("signature"))
        case {"reasoningContent": {"redactedContent": redacted}}:
            return Reasoning("", redacted=base64.b64decode(redacted))
        case {"toolUse": call}:
            return ToolUse(call["toolUseId"], call["name"], call["input"])
        case {"citationsContent": cited}:
            citations = tuple(map(_citation, cited["citations"]))
            return Text("".join(piece["text"] for piece in cited["content"]), citations)
        case _:
            return Text(block["text"])


_UNITS: Final[dict[str, Literal["char", "page", "piece"]]] = {
    "documentChar": "char",
    "documentPage": "page",
    "documentChunk": "piece",
}


def _citation(told: Json) -> Citation:
    ((kind, place),) = told["location"].items()
    span = Span(_UNITS[kind], place["documentIndex"], place["start"], place["end"])
    return Citation(told["title"], tuple(each["text"] for each in told["sourceContent"]), span)


def completion_events(done: Completion) -> Iterator[Event]:
    """The events that fold into ``done``, each part in one piece."""
    yield Started(done.input_tokens, done.prompt_tokens)
    for part in done.parts:
        match part:
            case Text():
                if any(isinstance(one, Text) and one.citations for one in done.parts):
                    yield TextStarted()
                yield from map(CitationDelta, part.citations)
                yield TextDelta(part.text, done.output_tokens, done.tokens)
            case Reasoning():
                told = part.text, done.output_tokens, part.signature, part.redacted
                yield ReasoningDelta(*told)
            case ToolUse():
                yield ToolUseStarted(part.id, part.name)
                yield ToolUseDelta(msgspec.json.encode(part.input).decode(), done.output_tokens)
    yield Finished(
        done.stop,
        done.input_tokens,
        done.output_tokens,
        done.stop_sequence,
        done.cache_read_tokens,
        done.cache_write_tokens,
    )


def stream_events(dialect: str, chunks: Sequence[Json]) -> list[Event]:
    """The events behind the recorded chunks of InvokeModelWithResponseStream."""
    metrics = chunks[-1].get(METRICS, {})
    counts = metrics.get("inputTokenCount", 1), metrics.get("outputTokenCount", 1)
    match dialect:
        case "nova":
            return converse_events(chunks)
        case "anthropic" if "completion" in chunks[0]:
            last = chunks[-1]
            texts = [TextDelta(chunk["completion"], 1) for chunk in chunks if chunk["completion"]]
            if last["stop_reason"] == "stop_sequence":
                return [Started(counts[0]), *texts, Finished(*_claude_stop(last["stop"], counts))]
            return [Started(counts[0]), *texts, Finished(STOPS[last["stop_reason"]], *counts)]
        case "anthropic":
            usage = chunks[0]["message"]["usage"]
            return [event for chunk in chunks for event in _claude_events(chunk, usage)]
        case "titan_text":
            read: int = chunks[0]["inputTextTokenCount"]
            counts = read, chunks[-1]["totalOutputTextTokenCount"]
            deltas = [TextDelta(chunk["outputText"], counts[1]) for chunk in chunks]
            return [Started(read), *deltas, Finished(STOPS[reason_of(chunks)], *counts)]
        case _:
            return _plain_events(chunks, counts)


def _plain_events(chunks: Sequence[Json], counts: Counts) -> list[Event]:
    texts = [text_of(chunk) for chunk in chunks]
    if "generations" in chunks[0]:
        texts = [chunks[0]["generations"][0]["text"]]
    deltas = [TextDelta(text, at) for at, text in enumerate(filter(None, texts), 1)]
    return [Started(counts[0]), *deltas, Finished(STOPS[reason_of(chunks)], *counts)]


def text_of(chunk: Json) -> str:
    if chunk.get("is_finished"):
        # Cohere's last chunk repeats the whole text in ``response``.
        return ""
    if "outputs" in chunk:
        return chunk["outputs"][0]["text"]
    if "choices" in chunk:
        return chunk["choices"][0]["delta"].get("content", "")
    return chunk.get("text", chunk.get("generation", ""))


def reason_of(chunks: Iterable[Json]) -> str:
    for chunk in chunks:
        parts = [chunk, *chunk.get("outputs", []), *chunk.get("choices", [])]
        for part in [*parts, *chunk.get("generations", [])]:
            found = ("finish_reason", "stop_reason", "completionReason")
            reason = next((part[name] for name in found if part.get(name)), None)
            if reason:
                return reason
    raise AssertionError("no chunk tells why the stream ended")


def _claude_events(chunk: Json, usage: Json) -> Iterator[Event]:
    count: int = usage["output_tokens"]
    match chunk:
        case {"type": "message_start"}:
            yield Started(usage["input_tokens"])
        case {"content_block": {"type": "tool_use", "id": call_id, "name": name}}:
            yield ToolUseStarted(call_id, name)
            yield ToolUseDelta("", count)
        case {"delta": {"text": text}}:
            yield TextDelta(text, count)
        case {"delta": {"thinking": thought}}:
            yield ReasoningDelta(thought, count)
        case {"delta": {"signature": signature}}:
            yield ReasoningDelta("", count, signature)
        case {"delta": {"partial_json": piece}} if piece:
            yield ToolUseDelta(piece, count)
        case {"type": "message_delta", "delta": delta, "usage": {"output_tokens": total}}:
            yield Finished(
                STOPS[delta["stop_reason"]],
                usage["input_tokens"],
                total,
                delta["stop_sequence"],
                usage.get("cache_read_input_tokens", 0),
                usage.get("cache_creation_input_tokens", 0),
            )
        case _:
            pass


def converse_events(events: Sequence[Json]) -> list[Event]:
    """The events behind a recorded ConverseStream, each ``{"<type>": {…}}``."""
    usage: Json = events[-1]["metadata"]["usage"]
    told = [neutral for event in events for neutral in _converse_event(event, usage)]
    if any(isinstance(event, CitationDelta) for event in told):
        return told
    return [event for event in told if not isinstance(event, TextStarted)]


def _converse_event(event: Json, usage: Json) -> Iterator[Event]:
    match event:
        case {"messageStart": _}:
            yield Started(usage["inputTokens"])
        case {"contentBlockStart": {"start": {"toolUse": call}}}:
            yield ToolUseStarted(call["toolUseId"], call["name"])
        case {"contentBlockDelta": {"delta": {"text": text}}}:
            yield TextDelta(text, 1)
        case {"contentBlockDelta": {"delta": {"citation": citation}}}:
            yield CitationDelta(_citation(citation))
        case {"contentBlockStop": _}:
            # Whatever text comes next is another one.
            yield TextStarted()
        case {"contentBlockDelta": {"delta": {"toolUse": call}}}:
            yield ToolUseDelta(call["input"], 1)
        case {"contentBlockDelta": {"delta": {"reasoningContent": thought}}}:
            redacted = thought.get("redactedContent")
            yield ReasoningDelta(
                thought.get("text", ""),
                1,
                thought.get("signature"),
                redacted and base64.b64decode(redacted),
            )
        case {"messageStop": {"stopReason": reason}}:
            yield Finished(
                STOPS[reason],
                usage["inputTokens"],
                usage["outputTokens"],
                cache_read_tokens=usage.get("cacheReadInputTokens", 0),
                cache_write_tokens=usage.get("cacheWriteInputTokens", 0),
            )
        case _:
            pass
