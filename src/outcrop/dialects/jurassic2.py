"""AI21 Jurassic-2: a prompt in, scored tokens of prompt and completions out; never a stream.

``logprob`` equals ``raw_logprob``: engines report a token's probability under the model, not under
the sampled distribution. Tokens are the engine's own; blanks show as U+2581 and line breaks as
``<|newline|>``, as in the service's answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from outcrop.catalog.model import Model
from outcrop.dialects import schema, scores, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.errors import ValidationException
from outcrop.generation import Completion, Generation, Text, Turn

# What every answer of the service carries, whatever the request.
_ID: Final = 1234
_MOST_RESULTS: Final = 16
_SCOPES: Final = (
    "applyToWhitespaces",
    "applyToPunctuations",
    "applyToNumbers",
    "applyToStopwords",
    "applyToEmojis",
)


def _penalty(name: str, into: str, most: float) -> settings.Setting:
    rule = settings.closed(
        {
            "scale": {"type": "number", "minimum": 0, "maximum": most},
            **{scope: {"type": "boolean"} for scope in _SCOPES},
        }
    )
    return settings.Setting(into, rule, read=_scale_of(name))


def _scale_of(name: str) -> Callable[[Mapping[str, Any]], float]:
    def scale(penalty: Mapping[str, Any]) -> float:
        scale = penalty.get("scale", 0)
        for scope in _SCOPES:
            if scale and not penalty.get(scope, True):
                raise settings.not_honoured(
                    f"{name}.{scope}", False, "Leave it out or set it to true."
                )
        return scale

    return scale


_TABLE: Final = {
    "temperature": settings.number("temperature", 0, 1, 0.5),
    "topP": settings.number("top_p", 0, 1, 0.5, settings.off_at_one),
    "maxTokens": settings.tokens(0, 200),
    "stopSequences": settings.stops(),
    "presencePenalty": _penalty("presencePenalty", "presence_penalty", 5),
    "countPenalty": _penalty("countPenalty", "frequency_penalty", 1),
    "frequencyPenalty": _penalty("frequencyPenalty", "normalized_frequency_penalty", 500),
}
_SCHEMA: Final = settings.body_schema(
    _TABLE,
    {
        "prompt": {"type": "string", "minLength": 1},
        "numResults": {"type": "integer", "minimum": 1, "maximum": _MOST_RESULTS},
        "minTokens": {"type": "integer", "minimum": 0},
    },
    "prompt",
)

extend = settings.extended(_TABLE)


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    if body.get("minTokens", 0) > 0:
        raise settings.not_honoured("minTokens", body["minTokens"], "Leave it out or set it to 0.")
    base = Generation(
        turns=(Turn("user", (Text(body["prompt"]),)),),
        max_tokens=model.max_output_tokens,
        logprobs="all",
        count=body.get("numResults", 1),
    )
    return settings.settled(base, _TABLE, model, body)


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    return {
        "id": _ID,
        **_prompt(answers[0], rendering),
        "completions": [
            {
                "data": {"text": answer.text, "tokens": _tokens(scores.place(answer.tokens))},
                "finishReason": _finish_reason(answer),
            }
            for answer in answers
        ],
    }


def _prompt(answer: Completion, rendering: Rendering) -> dict[str, Any]:
    """Absent for a Converse request, which has no one prompt."""
    prompt = rendering.body.get("prompt")
    if prompt is None:
        return {}
    tokens = _tokens(scores.within(prompt, answer.prompt_tokens))
    return {"prompt": {"text": prompt, "tokens": tokens}}


def _tokens(placed: Iterable[scores.Placed]) -> list[dict[str, Any]]:
    return [
        {
            "generatedToken": {
                "token": each.text.replace(" ", "\u2581").replace("\n", "<|newline|>"),
                "logprob": each.token.logprob,
                "raw_logprob": each.token.logprob,
            },
            "topTokens": None,
            "textRange": {"start": each.start, "end": each.end},
        }
        for each in placed
    ]


def _finish_reason(answer: Completion) -> dict[str, Any]:
    match answer.stop:
        case "length":
            return {"reason": "length", "length": answer.output_tokens}
        case "stop_sequence":
            # Not recorded; AI21's own SDK names the member.
            return {"reason": "stop", "sequence": answer.stop_sequence}
        case _:
            return {"reason": "endoftext"}


def chunks(rendering: Rendering) -> Chunks:
    raise ValidationException("The model is unsupported for streaming.")
