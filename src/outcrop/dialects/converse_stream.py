"""ConverseStream's events, in the recorded order:

    messageStart ([contentBlockStart] contentBlockDelta* contentBlockStop)* messageStop metadata

Only a tool's block has a contentBlockStart. A signature ends a thought; what is redacted, and
what is cited, is a block of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from outcrop.catalog.model import Model
from outcrop.dialects.converse import (
    STOP_REASONS,
    render_echo,
    render_response_fields,
    render_tool_type,
    render_usage,
    wants_native,
)
from outcrop.dialects.converse_citations import render_citation
from outcrop.folding import Fold
from outcrop.generation import (
    CitationDelta,
    Completion,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    TextStarted,
    ToolUseDelta,
    ToolUseStarted,
)


class Events:
    """The state of one stream. ``native`` renders an answer in the family's own form; it is called
    only where ``wants_native(params)``."""

    def __init__(
        self,
        params: Mapping[str, Any],
        model: Model,
        elapsed_ms: Callable[[], int],
        native: Callable[[Completion], Mapping[str, Any]] | None = None,
    ) -> None:
        self._params = params
        self._model = model
        self._tool_type = render_tool_type(model)
        self._elapsed_ms = elapsed_ms
        self._native = native if wants_native(params) else None
        self._fold = Fold()
        self._index = -1
        self._open: str | None = None

    def feed(self, event: Event) -> list[dict[str, Any]]:
        if self._native is not None:
            self._fold.feed(event)
        match event:
            case Started():
                return [{"messageStart": {"role": "assistant"}}]
            case TextDelta():
                return self._text(event.text)
            case TextStarted():
                return self._close()
            case CitationDelta():
                opening = self._switch("text")
                return [*opening, self._delta({"citation": render_citation(event.citation)})]
            case ReasoningDelta():
                return self._reasoning(event)
            case ToolUseStarted():
                tool = {"name": event.name, "toolUseId": event.id, **self._tool_type}
                start = {"contentBlockIndex": self._index + 1, "start": {"toolUse": tool}}
                return [*self._switch("tool", anew=True), {"contentBlockStart": start}]
            case ToolUseDelta():
                return [self._delta({"toolUse": {"input": event.json}})]
            case Finished():
                return self._finish(event)

    def _text(self, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        return [*self._switch("text"), self._delta({"text": text})]

    def _reasoning(self, event: ReasoningDelta) -> list[dict[str, Any]]:
        if event.redacted is not None:
            redacted = {"reasoningContent": {"redactedContent": event.redacted}}
            return [*self._switch("redacted", anew=True), self._delta(redacted)]
        pieces: list[dict[str, Any]] = []
        if event.text:
            pieces.append({"text": event.text})
        if event.signature is not None:
            pieces.append({"signature": event.signature})
        if not pieces:
            return []
        opening = self._switch("reasoning")
        if event.signature is not None:
            self._open = "signed"
        return [*opening, *(self._delta({"reasoningContent": piece}) for piece in pieces)]

    def _switch(self, kind: str, *, anew: bool = False) -> list[dict[str, Any]]:
        """Opens a block of ``kind``, closing the one before."""
        if self._open == kind and not anew:
            return []
        closing = self._close()
        self._index += 1
        self._open = kind
        return closing

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        self._open = None
        return [{"contentBlockStop": {"contentBlockIndex": self._index}}]

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"contentBlockDelta": {"contentBlockIndex": self._index, "delta": delta}}

    def _finish(self, event: Finished) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._index < 0:
            # An answer without a token is one empty text, as in a whole answer.
            events += [*self._switch("text"), self._delta({"text": ""})]
        events += self._close()
        stop: dict[str, Any] = {"stopReason": STOP_REASONS[event.stop]}
        if self._native is not None:
            paths = self._params["additionalModelResponseFieldPaths"]
            stop |= render_response_fields(paths, self._native(self._fold.completion()))
        metadata = {
            "metrics": {"latencyMs": self._elapsed_ms()},
            "usage": render_usage(event, self._params, self._model, is_whole=False),
            **render_echo(self._params),
        }
        return [*events, {"messageStop": stop}, {"metadata": metadata}]
