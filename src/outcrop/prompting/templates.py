"""Chat templates: turns of text become the segments of a prompt.

Only a segment marked special may be tokenized with control tokens recognised, and nothing a caller
wrote is ever in one: text that contains ``<|im_end|>`` stays text and cannot forge a turn. Segments
are the whole prompt: the engine adds no BOS of its own.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

import jinja2
import msgspec
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from outcrop.generation import Text, Turn
from outcrop.prompting.errors import TemplateError


@dataclass(frozen=True, slots=True)
class Segment:
    """``said`` tells where in ``text`` the words of turns stand (from, to): no system text, nothing
    that a template wrote."""

    text: str
    special: bool
    said: tuple[tuple[int, int], ...] = field(default=(), compare=False)


class ChatTemplate(Protocol):
    """Turns hold only ``Text`` parts here (``tools.prepare`` sees to it). A final assistant turn is
    left open, so that the answer continues it."""

    def render(self, turns: Sequence[Turn], system: str | None) -> tuple[Segment, ...]: ...


def turn_text(turn: Turn) -> str:
    """The text of a turn; blocks the caller kept apart stay on lines of their own."""
    texts: list[str] = []
    for part in turn.parts:
        if not isinstance(part, Text):
            raise TemplateError(f"a chat template renders text, not {type(part).__name__}")
        texts.append(part.text)
    return "\n".join(texts)


def chatml() -> ChatTemplate:
    return _ChatML()


def jinja(
    source: str, bos_token: str, eos_token: str, control_tokens: Sequence[str] = ()
) -> ChatTemplate:
    """The template a model carries. With ``control_tokens`` (the vocabulary's own list) only those
    are special and the template's words are tokenized in one piece with the text around them;
    without, all that the template itself wrote is special."""
    return _Jinja(source, bos_token, eos_token, control_tokens)


def choose(
    named: str | None,
    own: str | None,
    bos_token: str,
    eos_token: str,
    control_tokens: Sequence[str],
) -> ChatTemplate:
    """The format of ours that is ``named``, else the ``own`` template of the weights: engines and
    training render by the same. Raises TemplateError."""
    if named == "chatml":
        return chatml()
    if named is not None:
        raise TemplateError(f"there is no chat template {named!r}")
    if own is None:
        raise TemplateError("there is no chat template")
    return jinja(own, bos_token, eos_token, control_tokens)


class _ChatML:
    _CONTROL = re.compile("(<\\|im_start\\|>|<\\|im_end\\|>)")

    def render(self, turns: Sequence[Turn], system: str | None) -> tuple[Segment, ...]:
        _require_turns(turns)
        pieces: list[tuple[str, bool]] = []
        if system is not None:
            pieces += self._turn("system", system)
        for turn in turns:
            pieces += self._turn(turn.role, turn_text(turn))
        if turns[-1].role == "assistant":
            pieces.pop()
        else:
            pieces.append(("<|im_start|>assistant\n", True))
        return _segments(pieces, self._CONTROL, has_system=system is not None)

    @staticmethod
    def _turn(role: str, text: str) -> list[tuple[str, bool]]:
        return [(f"<|im_start|>{role}\n", True), (text, False), ("<|im_end|>\n", True)]


# The template never sees a caller's text: it gets a placeholder of private-use characters, which is
# put back after rendering. So no text can be taken for template output, whatever it contains.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


class _Jinja:
    def __init__(
        self, source: str, bos_token: str, eos_token: str, control_tokens: Sequence[str]
    ) -> None:
        if _OPEN in source or _CLOSE in source:
            raise TemplateError("the chat template contains a character reserved for placeholders")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        functions: dict[str, Any] = environment.globals
        functions.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise TemplateError(f"the chat template cannot be compiled: {error}") from error
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._control = _alternatives(control_tokens)

    def render(self, turns: Sequence[Turn], system: str | None) -> tuple[Segment, ...]:
        _require_turns(turns)
        messages = _merged(turns)
        if system is None:
            return self._messages(messages)
        try:
            return self._messages([("system", system), *messages], has_system=True)
        except TemplateError:
            # Gemma's and the first Mistral's templates know no system role.
            role, text = messages[0]
            return self._messages([(role, f"{system}\n\n{text}"), *messages[1:]])

    def _messages(
        self, messages: Sequence[tuple[str, str]], *, has_system: bool = False
    ) -> tuple[Segment, ...]:
        texts = [text for _, text in messages]
        open_turn = messages[-1][0] == "assistant"
        rendered = self._render(
            [
                {"role": role, "content": f"{_OPEN}{index}{_CLOSE}"}
                for index, (role, _) in enumerate(messages)
            ],
            add_generation_prompt=not open_turn,
        )
        if open_turn:
            last = f"{_OPEN}{len(texts) - 1}{_CLOSE}"
            rendered = rendered[: rendered.rfind(last) + len(last)]
        return _segments(_restore(rendered, texts), self._control, has_system=has_system)

    def _render(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **self._tokens
            )
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise TemplateError(f"the chat template refuses these turns: {error}") from error


def _require_turns(turns: Sequence[Turn]) -> None:
    if not turns:
        raise TemplateError("there are no turns to render")


def _merged(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """Consecutive turns of one role as one: most templates demand that roles alternate."""
    merged: list[tuple[str, str]] = []
    for turn in turns:
        text = turn_text(turn)
        if merged and merged[-1][0] == turn.role:
            text = f"{merged.pop()[1]}\n\n{text}"
        merged.append((turn.role, text))
    return merged


def _restore(rendered: str, texts: Sequence[str]) -> list[tuple[str, bool]]:
    pieces: list[tuple[str, bool]] = []
    seen: set[int] = set()
    # split() with one group alternates: template text, index, template text, …
    for position, piece in enumerate(_PLACEHOLDER.split(rendered)):
        if position % 2 == 0:
            pieces.append((piece, True))
            continue
        index = int(piece)
        if index >= len(texts):
            raise TemplateError("the chat template changed a message")
        seen.add(index)
        pieces.append((texts[index], False))
    if len(seen) != len(texts):
        raise TemplateError("the chat template leaves out a message of this conversation")
    return pieces


def _alternatives(control_tokens: Sequence[str]) -> re.Pattern[str] | None:
    longest_first = sorted(filter(None, control_tokens), key=len, reverse=True)
    if not longest_first:
        return None
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})")


def _segments(
    pieces: Iterable[tuple[str, bool]], control: re.Pattern[str] | None, *, has_system: bool
) -> tuple[Segment, ...]:
    """``pieces`` are (text, whether the template wrote it); neighbours of one kind are joined. The
    first that it did not write is the system text, if there is one."""
    segments: list[Segment] = []
    for text, from_template in pieces:
        if not from_template:
            _append(segments, text, special=False, said=not has_system)
            has_system = False
            continue
        if control is None:
            _append(segments, text, special=True)
            continue
        for position, part in enumerate(control.split(text)):
            _append(segments, part, special=position % 2 == 1)
    return tuple(segments)


def _append(segments: list[Segment], text: str, *, special: bool, said: bool = False) -> None:
    if not text:
        return
    joined = (
        segments.pop() if segments and segments[-1].special == special else Segment("", special)
    )
    start = len(joined.text)
    ranges = (*joined.said, (start, start + len(text))) if said else joined.said
    segments.append(Segment(joined.text + text, special, ranges))


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now(UTC).strftime(form)


def _to_json(value: Any, indent: int | None = None) -> str:
    text = msgspec.json.encode(value)
    return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()
