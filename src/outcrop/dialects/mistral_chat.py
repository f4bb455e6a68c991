"""Mistral's chat form on Bedrock: OpenAI-like messages and tools in, ``choices`` out.

The models of this form take the text form too; a body with ``prompt`` is read and answered by it.
The whole answer is as in AWS's user guide, "Mistral AI chat completion"; the guide shows no stream,
whose chunks follow OpenAI's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import chat, mistral, openai_chat, schema, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.generation import Completion, Generation

_TABLE: Final = {
    "max_tokens": settings.tokens(1),
    "temperature": settings.number("temperature", 0, 1, 0.7),
    "top_p": settings.number("top_p", 0, 1, 1.0, settings.off_at_one),
    "stop": settings.stops(10),
}
_SCHEMA: Final = settings.body_schema(
    _TABLE,
    {"messages": chat.MESSAGES, "tools": chat.TOOLS, "tool_choice": chat.TOOL_CHOICE},
    "messages",
)

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    if _is_text(body):
        return mistral.parse(body, model)
    schema.check(_SCHEMA(model), body)
    system, turns = chat.conversation(body["messages"], model)
    base = Generation(
        turns,
        model.max_output_tokens,
        system,
        tools=chat.tools(body.get("tools", ())),
        tool_choice=chat.tool_choice(body),
    )
    return settings.settled(base, _TABLE, model, body)


def _is_text(body: Any) -> bool:
    return isinstance(body, Mapping) and "prompt" in body


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    if _is_text(rendering.body):
        return mistral.render(answers, rendering)
    answer = answers[0]
    calls = chat.render_calls(answer)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if calls:
        message["tool_calls"] = calls
    return {"choices": [{"index": 0, "message": message, "stop_reason": chat.REASONS[answer.stop]}]}


def chunks(rendering: Rendering) -> Chunks:
    if _is_text(rendering.body):
        return mistral.chunks(rendering)
    return openai_chat.chunks(rendering)
