"""The events of one generation folded into its whole answer."""

from typing import Any

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
    Started,
    Text,
    TextDelta,
    TextStarted,
    Token,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
)


class Fold:
    """Folds the events of one generation into its ``Completion``."""

    def __init__(self) -> None:
        self._parts: list[AnswerPart] = []
        self._open: ToolUseStarted | ReasoningDelta | None = None
        self._pieces: list[str] = []
        self._citations: list[Citation] = []
        self._tokens: list[Token] = []
        self._prompt_tokens: tuple[Token, ...] = ()
        self._finished: Finished | None = None

    def feed(self, event: Event) -> None:
        match event:
            case TextDelta():
                if self._open is not None:
                    self._close()
                self._pieces.append(event.text)
                self._tokens.extend(event.tokens)
            case ToolUseDelta():
                self._pieces.append(event.json)
            case ToolUseStarted():
                self._close()
                self._open = event
            case ReasoningDelta():
                self._reason(event)
            case TextStarted() | CitationDelta():
                self._cite(event)
            case Started():
                self._prompt_tokens = event.prompt_tokens
            case Finished():
                self._close(is_cut=event.stop in ("length", "stop_sequence"))
                self._finished = event

    def completion(self) -> Completion:
        finished = self._finished
        if finished is None:
            raise ValueError("the generation has not finished")
        return Completion(
            parts=tuple(self._parts),
            stop=finished.stop,
            input_tokens=finished.input_tokens,
            output_tokens=finished.output_tokens,
            stop_sequence=finished.stop_sequence,
            tokens=tuple(self._tokens),
            prompt_tokens=self._prompt_tokens,
            cache_read_tokens=finished.cache_read_tokens,
            cache_write_tokens=finished.cache_write_tokens,
        )

    def _cite(self, event: TextStarted | CitationDelta) -> None:
        if isinstance(event, TextStarted) or self._open is not None:
            self._close()
        if isinstance(event, CitationDelta):
            self._citations.append(event.citation)

    def _reason(self, event: ReasoningDelta) -> None:
        """A signature ends its thought; something redacted is a thought of its own."""
        if event.redacted is not None:
            self._close()
            self._parts.append(Reasoning("", redacted=event.redacted))
            return
        if not isinstance(self._open, ReasoningDelta):
            self._close()
        self._open = event
        self._pieces.append(event.text)
        if event.signature is not None:
            self._close()

    def _close(self, is_cut: bool = False) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        match self._open:
            case ToolUseStarted():
                self._close_tool(self._open, text, is_cut)
            case ReasoningDelta():
                self._parts.append(Reasoning(text, self._open.signature))
            case None if text:
                self._parts.append(Text(text, tuple(self._citations)))
            case None:
                pass
        self._citations.clear()
        self._open = None

    def _close_tool(self, tool: ToolUseStarted, text: str, is_cut: bool) -> None:
        try:
            arguments = msgspec.json.decode(text or "{}", type=dict[str, Any])
        except msgspec.DecodeError:
            # A call that the token limit cut in the middle is no call.
            if is_cut:
                return
            raise
        self._parts.append(ToolUse(tool.id, tool.name, arguments))
