"""Cohere Command and Command Light: a prompt in, ``generations`` out.

``likelihood`` is the average log-likelihood of the tokens listed beside it (Cohere's documentation,
"Number of Generations"). A stream asked for likelihoods gets them in each generation's last chunk;
no recording shows where the service puts them.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects import schema, scores, settings
from outcrop.dialects.protocol import Chunks, Rendering
from outcrop.folding import Fold
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Logprobs,
    Stop,
    Text,
    TextDelta,
    Turn,
)

_MOST_GENERATIONS: Final = 5
_MOST_BIAS: Final = 10
_MOST_VIOLATIONS: Final = 64

_TABLE: Final = {
    "temperature": settings.number("temperature", 0, 5, 0.9),
    "p": settings.number("top_p", 0, 1, 0.75, settings.off_at_ends),
    "k": settings.number("top_k", 0, 500, 0, settings.off_at_zero),
    "max_tokens": settings.tokens(1, 20),
    "stop_sequences": settings.stops(4),
    "logit_bias": settings.Setting("logit_bias", {"type": "object"}),
    "truncate": settings.Setting(
        "truncate", {"type": "string", "enum": ["NONE", "START", "END"]}, "END", str.lower
    ),
}
_SCHEMA: Final = schema.per_model(
    lambda model: settings.closed(
        {
            "prompt": {"type": "string", "minLength": 1},
            "return_likelihoods": {"type": "string", "enum": ["GENERATION", "ALL", "NONE"]},
            "stream": {"type": "boolean"},
            "num_generations": schema.limits(
                model, "num_generations", type="integer", minimum=1, maximum=_MOST_GENERATIONS
            ),
            **settings.properties(_TABLE, model),
        },
        "prompt",
    )
)
_FIELDS: Final = settings.body_schema(_TABLE, {})
_LOGPROBS: Final[Mapping[str, Logprobs]] = {
    "GENERATION": "generation",
    "ALL": "all",
    "NONE": "none",
}
_REASONS: Final[Mapping[Stop, str]] = {
    "end": "COMPLETE",
    "stop_sequence": "COMPLETE",
    "tool_use": "COMPLETE",
    "length": "MAX_TOKENS",
    "filtered": "ERROR_TOXIC",
}


def parse(body: Any, model: Model) -> Generation:
    schema.check(_SCHEMA(model), body)
    base = Generation(
        turns=(Turn("user", (Text(body["prompt"]),)),),
        max_tokens=model.max_output_tokens,
        logprobs=_LOGPROBS[_likelihoods(body)],
        max_input_tokens=model.max_input_tokens,
        count=_count(body, model),
    )
    return settings.settled(base, _TABLE, model, _read(body))


def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
    schema.check(_FIELDS(model), dict(fields))
    limited = replace(generation, max_input_tokens=model.max_input_tokens)
    return settings.applied(limited, _TABLE, _read(fields))


def _read(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with ``k`` as a whole number and ``logit_bias`` as pairs."""
    read = dict(body)
    if isinstance(k := read.get("k"), float):
        if not k.is_integer():
            raise schema.malformed([("#/k", "expected type: Integer, found: BigDecimal")])
        read["k"] = int(k)
    if "logit_bias" in read:
        read["logit_bias"] = _biases(read["logit_bias"])
    return read


def _biases(wanted: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    violations: list[schema.Violation] = []
    pairs: list[tuple[int, float]] = []
    for name, bias in wanted.items():
        pointer = f"#/logit_bias/{name}"
        if not (name.isascii() and name.isdigit() and len(name) < 10):
            violations.append(("#/logit_bias", f"extraneous key [{name}] is not permitted"))
        elif isinstance(bias, bool) or not isinstance(bias, (int, float)):
            found = schema.type_name(bias)
            violations.append((pointer, f"expected type: Number, found: {found}"))
        elif bias < -_MOST_BIAS:
            violations.append((pointer, f"{bias} is not greater or equal to -{_MOST_BIAS}"))
        elif bias > _MOST_BIAS:
            violations.append((pointer, f"{bias} is not less or equal to {_MOST_BIAS}"))
        else:
            pairs.append((int(name), float(bias)))
        if len(violations) >= _MOST_VIOLATIONS:
            break
    if violations:
        raise schema.malformed(violations)
    return tuple(pairs)


def _count(body: Mapping[str, Any], model: Model) -> int:
    return body.get("num_generations", schema.default(model, "num_generations", 1))


def _likelihoods(body: Mapping[str, Any]) -> str:
    return body.get("return_likelihoods", "NONE")


def render(answers: Sequence[Completion], rendering: Rendering) -> dict[str, Any]:
    # A Converse request has no one prompt to repeat.
    prompt = {"prompt": rendering.body["prompt"]} if "prompt" in rendering.body else {}
    return {
        "generations": [
            {
                "finish_reason": _REASONS[answer.stop],
                "id": str(uuid.uuid4()),
                "text": answer.text,
                **_scores(answer, rendering.body),
            }
            for answer in answers
        ],
        "id": rendering.request_id,
        **prompt,
    }


def _scores(answer: Completion, body: Mapping[str, Any]) -> dict[str, Any]:
    wanted = _likelihoods(body)
    if wanted == "NONE":
        return {}
    listed = [(token.text, token.logprob) for token in answer.tokens]
    if wanted == "ALL":
        prompt = scores.within(body["prompt"], answer.prompt_tokens)
        listed = [(each.text, each.token.logprob) for each in prompt] + listed
    known = [logprob for _, logprob in listed if logprob is not None]
    average = {"likelihood": sum(known) / len(known)} if known else {}
    return {**average, "token_likelihoods": [_token(*each) for each in listed]}


def _token(text: str, logprob: float | None) -> dict[str, Any]:
    # The first token of a prompt has nothing before it that could make it likely.
    return {"token": text} if logprob is None else {"token": text, "likelihood": logprob}


def chunks(rendering: Rendering) -> Chunks:
    count = _count(rendering.body, rendering.model)
    if rendering.body.get("stream") is True:
        return PieceChunks(rendering, count)
    return WholeChunk(rendering, count)


class PieceChunks:
    """``stream`` true: the text as it comes, with ``index`` where there are several answers."""

    def __init__(self, rendering: Rendering, count: int) -> None:
        self._body = rendering.body
        self._is_scored = _likelihoods(rendering.body) != "NONE"
        self._is_indexed = count > 1
        self._folds = [Fold() for _ in range(count if self._is_scored else 0)]

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        if self._is_scored:
            self._folds[index].feed(event)
        start: dict[str, Any] = {"index": index} if self._is_indexed else {}
        match event:
            case TextDelta(text=text) if text:
                return [{**start, "is_finished": False, "text": text}]
            case Finished():
                return [{**start, **self._finish(event, index)}]
            case _:
                return []

    def _finish(self, event: Finished, index: int) -> dict[str, Any]:
        end = {"finish_reason": _REASONS[event.stop], "is_finished": True}
        if not self._is_scored:
            return end
        return {**end, **_scores(self._folds[index].completion(), self._body)}


class WholeChunk:
    """``stream`` absent or false: one chunk, the body InvokeModel would answer."""

    def __init__(self, rendering: Rendering, count: int) -> None:
        self._rendering = rendering
        self._folds = [Fold() for _ in range(count)]
        self._unfinished = count

    def feed(self, event: Event, index: int = 0) -> list[dict[str, Any]]:
        self._folds[index].feed(event)
        if isinstance(event, Finished):
            self._unfinished -= 1
            if not self._unfinished:
                return [render([fold.completion() for fold in self._folds], self._rendering)]
        return []
