"""Prompts written in a provider's turn format, read as chat turns.

White space beside a marker belongs to the marker; every other character outside markers reaches a
turn or the system text. Text without any marker is one user turn, unchanged.
"""

import re
from collections.abc import Iterable
from typing import Final

from outcrop.generation import Role, Text, Turn

Prompt = tuple[str | None, tuple[Turn, ...]]
# What a piece of a prompt is: (role, its text); "system" pieces are joined into the system text.
Piece = tuple[str, str]

CLAUDE_MARKER: Final = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_TITAN: Final = re.compile(r"(?:\A\s*|\n[ \t]*)(User|Bot):")
_INST: Final = re.compile(r"(<s>|</s>|\[INST\]|\[/INST\]|<<SYS>>|<</SYS>>)")
_HEADER: Final = re.compile(
    r"<\|start_header_id\|>\s*(system|user|assistant|ipython|tool)\s*<\|end_header_id\|>"
    r"|<\|(begin_of_text|eot_id|eom_id|end_of_text)\|>"
)
_ROLES: Final = {"Human": "user", "User": "user", "Assistant": "assistant", "Bot": "assistant"}
# What the text after a marker of the [INST] format is.
_AFTER: Final = {
    "<s>": "user",
    "</s>": "user",
    "[INST]": "user",
    "[/INST]": "assistant",
    "<<SYS>>": "system",
    "<</SYS>>": "user",
}


def parse_claude_prompt(prompt: str) -> Prompt:
    """Human and Assistant turns; text before the first Human turn is the system text."""
    return _parse_labelled(CLAUDE_MARKER, prompt)


def parse_titan_prompt(prompt: str) -> Prompt:
    """User and Bot lines; text before the first User line is the system text."""
    return _parse_labelled(_TITAN, prompt)


def parse_llama_prompt(prompt: str) -> Prompt:
    """Llama 3's headers where there are any, else Llama 2's ``[INST]`` form with ``<<SYS>>``."""
    if _HEADER.search(prompt):
        return _assemble(_header_pieces(prompt), prompt)
    return _parse_inst(prompt)


def parse_mistral_prompt(prompt: str) -> Prompt:
    """``<s>[INST] … [/INST] … </s>``; a ``<<SYS>>`` block is read as some callers write it."""
    return _parse_inst(prompt)


def _parse_labelled(marker: re.Pattern[str], prompt: str) -> Prompt:
    found = list(marker.finditer(prompt))
    if not found:
        return None, (_turn("user", prompt),)
    is_question = _ROLES[found[0][1]] == "user"
    pieces: list[Piece] = [("system" if is_question else "user", prompt[: found[0].start()])]
    ends = [match.start() for match in found[1:]] + [len(prompt)]
    pieces += [
        (_ROLES[match[1]], prompt[match.end() : end])
        for match, end in zip(found, ends, strict=True)
    ]
    return _assemble(pieces, prompt)


def _parse_inst(prompt: str) -> Prompt:
    texts = _INST.split(prompt)
    if len(texts) == 1:
        return None, (_turn("user", prompt),)
    pieces: list[Piece] = [("user", texts[0])]
    pieces += [
        (_AFTER[marker], text) for marker, text in zip(texts[1::2], texts[2::2], strict=True)
    ]
    return _assemble(pieces, prompt)


def _header_pieces(prompt: str) -> Iterable[Piece]:
    role, start = "user", 0
    for match in _HEADER.finditer(prompt):
        yield role, prompt[start : match.start()]
        named = match[1]
        # Text after an end marker has no header of its own: it can only be the caller's.
        role = "user" if named in (None, "ipython", "tool") else named
        start = match.end()
    yield role, prompt[start:]


def _assemble(pieces: Iterable[Piece], prompt: str) -> Prompt:
    system: list[str] = []
    turns: list[tuple[Role, list[str]]] = []
    last, is_opened = "", False
    for role, text in pieces:
        if not text.strip():
            continue
        last, is_opened = text, role == "assistant"
        if role == "system":
            system.append(text.strip())
        else:
            _append(turns, "assistant" if role == "assistant" else "user", text.strip())
    if not turns:
        # Nobody asked anything: what there is, is the question.
        question = "\n\n".join(system)
        return None, (_turn("user", question),)
    if is_opened and prompt.endswith(last):
        # The answer continues exactly here, so the end of an opened answer is kept as written.
        turns[-1][1][-1] = last.lstrip()
    return "\n\n".join(system) or None, tuple(
        _turn(role, "\n\n".join(said)) for role, said in turns
    )


def _append(turns: list[tuple[Role, list[str]]], role: Role, text: str) -> None:
    if turns and turns[-1][0] == role:
        turns[-1][1].append(text)
    else:
        turns.append((role, [text]))


def _turn(role: Role, text: str) -> Turn:
    return Turn(role, (Text(text),))
