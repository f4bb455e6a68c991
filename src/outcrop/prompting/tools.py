"""Tools in the prompt: how they are described, how the model is bound to call them rightly.

The form is the one SmolLM2, Hermes and Qwen were trained on: ``<tools>`` in the system text, a call
as ``<tool_call>{"name": …, "arguments": …}</tool_call>``, its result as ``<tool_response>``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from outcrop.generation import CachePoint, Generation, Text, Tool, ToolResult, ToolUse, Turn
from outcrop.prompting.cachepoints import new_mark, take_out
from outcrop.prompting.errors import SchemaUnsupported
from outcrop.prompting.grammar import Grammar, literal
from outcrop.prompting.plain import as_text, plain_parts
from outcrop.prompting.reader import CALL_CLOSE, CALL_OPEN, Reader
from outcrop.prompting.schemas import check
from outcrop.prompting.templates import ChatTemplate, Segment

MAX_CALLS = 8

_INSTRUCTIONS = """\
You have these functions. Each line between <tools> and </tools> is the JSON signature of one:
<tools>
{signatures}
</tools>
To call a function, write its name and its arguments as one JSON object between tool_call tags:
<tool_call>
{{"name": <function name>, "arguments": <object of arguments>}}
</tool_call>"""
_DUTY = {
    "auto": "Call a function when it helps to answer; otherwise answer in plain text.",
    "any": "Answer this turn by calling a function.",
    "none": "Do not call a function in this turn; answer in plain text.",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an engine needs: the prompt, the grammar that binds the sampler, and the reader.

    ``generation`` is plain text; ``cached`` the segments up to its last cache point, if any."""

    segments: tuple[Segment, ...]
    grammar: str | None
    generation: Generation
    cached: tuple[Segment, ...] = ()

    def reader(self) -> Reader:
        """A fresh reader, for one stream."""
        calling = self.generation.tool_choice.mode != "none"
        tools = {tool.name: tool.schema for tool in self.generation.tools} if calling else {}
        return Reader(tools, self.generation.json_schema)


def prepare(generation: Generation, template: ChatTemplate) -> Prepared:
    """Raises TemplateError, Unreadable, SchemaInvalid or SchemaUnsupported."""
    for tool in generation.tools:
        check(tool.schema)
    if generation.json_schema is not None:
        check(generation.json_schema)
    generation = as_text(generation)
    mark = new_mark(generation)
    turns = tuple(_render_turns(generation.turns, mark))
    marked = template.render(turns, _system(generation, mark))
    segments, cached = take_out(marked, mark)
    return Prepared(segments, _grammar(generation), generation, cached)


def _system(generation: Generation, mark: str) -> str | None:
    system = generation.system
    if system is not None and "system" in generation.cached:
        system += mark
    if not generation.tools:
        return system
    signatures = "\n".join(_signature(tool) for tool in generation.tools)
    duty = _DUTY.get(generation.tool_choice.mode) or (
        f"Answer this turn by calling the function {generation.tool_choice.name}."
    )
    tools = f"{_INSTRUCTIONS.format(signatures=signatures)}\n{duty}"
    if "tools" in generation.cached:
        tools += mark
    return tools if system is None else f"{system}\n\n{tools}"


def _signature(tool: Tool) -> str:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.schema
    return _json({"type": "function", "function": function})


def _render_turns(turns: Sequence[Turn], mark: str) -> Iterator[Turn]:
    names: dict[str, str] = {}
    for turn in turns:
        texts: list[str] = []
        waiting = ""
        for part in plain_parts(turn.parts):
            if isinstance(part, CachePoint):
                # The mark is no text of its own, which would stand on a line of its own.
                waiting = _mark_end(texts, mark)
                continue
            if isinstance(part, ToolUse):
                names[part.id] = part.name
            texts.append(waiting + _render_part(part, names))
            waiting = ""
        yield Turn(turn.role, tuple(Text(text) for text in texts))


def _mark_end(texts: list[str], mark: str) -> str:
    """Marks the end of the last text; where there is none, returns what the next begins with."""
    if not texts:
        return mark
    texts[-1] += mark
    return ""


def _render_part(part: Text | ToolUse | ToolResult, names: Mapping[str, str]) -> str:
    match part:
        case Text():
            return part.text
        case ToolUse():
            return f"{CALL_OPEN}\n{_call(part.name, part.input)}\n{CALL_CLOSE}"
        case ToolResult():
            answer = {"error" if part.is_error else "content": part.text}
            named = {"name": names[part.tool_use_id]} if part.tool_use_id in names else {}
            return f"<tool_response>\n{_json({**named, **answer})}\n</tool_response>"


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return _json({"name": name, "arguments": arguments})


def _json(value: Mapping[str, Any]) -> str:
    # "<\/" is JSON for "</": a tool's result cannot close its own tag and speak as something else.
    plain = msgspec.to_builtins(value)
    return json.dumps(plain, ensure_ascii=False).replace("</", "<\\/")


def _grammar(generation: Generation) -> str | None:
    mode = generation.tool_choice.mode
    if not generation.tools and generation.json_schema is None:
        return None
    grammar = Grammar()
    calls = _calls(grammar, generation) if generation.tools and mode != "none" else None
    forms: list[str] = []
    if calls is not None and (mode != "auto" or generation.json_schema is not None):
        forms.append(f"{literal(CALL_OPEN)} {calls}")
    if mode in ("auto", "none") and generation.json_schema is not None:
        forms.append(grammar.schema(generation.json_schema))
    # llama.cpp starts at the rule named root, wherever it stands.
    grammar.rule(" | ".join(forms) or _text(grammar, calls), "root")
    return grammar.render()


def _calls(grammar: Grammar, generation: Generation) -> str:
    """One call or more, from behind the first opening tag."""
    choice = generation.tool_choice
    tools = [tool for tool in generation.tools if choice.mode != "tool" or tool.name == choice.name]
    if not tools:
        raise SchemaUnsupported(f"the tool {choice.name!r} to be called is not among the tools")
    bodies = [
        f"{literal(_head(tool.name))} {grammar.schema(_as_object(tool.schema))}" for tool in tools
    ]
    close = literal("}\n" + CALL_CLOSE)
    call = grammar.rule(f"({' | '.join(bodies)}) {close}")
    if choice.mode != "auto":
        # A model that is not free to stop calling would repeat itself.
        return call
    next_open = literal("\n" + CALL_OPEN)
    return grammar.rule(f"{call} ({next_open} {call}){{0,{MAX_CALLS - 1}}}")


def _head(name: str) -> str:
    return f'\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def _as_object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments are an object even where the schema does not say so."""
    if {"type", "$ref", "allOf", "anyOf", "oneOf"} & schema.keys():
        return schema
    return {**schema, "type": "object"}


def _text(grammar: Grammar, calls: str | None) -> str:
    """Any text without the opening tag; after the tag, only what ``calls`` allows.

    An automaton: state i has read the first i characters of the tag. The tag's first character
    occurs in it only once, so a mismatch leads back to state 1 or 0.
    """
    states = [grammar.reserve() for _ in CALL_OPEN]
    first = CALL_OPEN[0]
    for position, expected in enumerate(CALL_OPEN):
        others = first if position == 0 else first + expected
        branches = [f"[^{others}] {states[0]}"]
        if position > 0:
            branches.append(f"{literal(first)} {states[1]}")
        if position < len(CALL_OPEN) - 1:
            branches.append(f"{literal(expected)} {states[position + 1]}")
        elif calls is not None:
            branches.append(f"{literal(expected)} {calls}")
        grammar.define(states[position], " | ".join([*branches, '""']))
    return states[0]
