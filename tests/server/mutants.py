"""Requests for every operation, broken in many ways: an endless, repeatable supply.

A request is broken first and signed afterwards, so that most get past the signature.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
from signed_http import Ask

from outcrop.wire.spec import load_service

SERVICES = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")
ACCOUNT = "123456789012"
CHAT = [{"role": "user", "content": "hello"}]
TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}
NOVA = {
    "messages": [{"role": "user", "content": [{"text": "hello"}]}],
    "system": [{"text": "s"}],
    "inferenceConfig": {"max_new_tokens": 5, "temperature": 0.5, "stopSequences": ["x"]},
}
NATIVE: dict[str, dict[str, Any]] = {
    "amazon.titan-text-express-v1": {
        "inputText": "hello",
        "textGenerationConfig": {
            "maxTokenCount": 5,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["User:"],
        },
    },
    "anthropic.claude-v2": {
        "prompt": "\n\nHuman: hello\n\nAssistant:",
        "max_tokens_to_sample": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["x"],
    },
    "anthropic.claude-3-haiku-20240307-v1:0": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "system": "s",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": 1}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "warm"}],
            },
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "auto"},
    },
    "ai21.j2-mid-v1": {
        "prompt": "hello",
        "maxTokens": 5,
        "temperature": 0.5,
        "countPenalty": {"scale": 0},
        "stopSequences": ["x"],
    },
    "ai21.jamba-1-5-mini-v1:0": {"messages": CHAT, "max_tokens": 5, "n": 1, "stop": ["x"]},
    "cohere.command-text-v14": {
        "prompt": "hello",
        "max_tokens": 5,
        "p": 0.5,
        "k": 5,
        "num_generations": 2,
        "return_likelihoods": "GENERATION",
        "stream": False,
    },
    "cohere.command-r-v1:0": {
        "message": "hello",
        "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
        "max_tokens": 5,
        "tools": [
            {
                "name": "t",
                "description": "d",
                "parameter_definitions": {"a": {"type": "str", "required": True}},
            }
        ],
    },
    "cohere.embed-english-v3": {
        "texts": ["hello", "b"],
        "input_type": "search_query",
        "truncate": "END",
        "embedding_types": ["float", "int8"],
    },
    "amazon.titan-embed-text-v1": {"inputText": "hello"},
    "amazon.titan-embed-text-v2:0": {"inputText": "hello", "dimensions": 1024, "normalize": True},
    "meta.llama3-8b-instruct-v1:0": {"prompt": "hello", "max_gen_len": 5, "temperature": 0.5},
    "mistral.mistral-7b-instruct-v0:2": {"prompt": "[INST] hello [/INST]", "max_tokens": 5},
    "mistral.mistral-large-2407-v1:0": {"messages": CHAT, "max_tokens": 5},
    "us.deepseek.r1-v1:0": {"prompt": "hello", "max_tokens": 5},
    "openai.gpt-oss-20b-1:0": {"messages": CHAT, "max_completion_tokens": 5},
    "amazon.nova-lite-v1:0": NOVA,
}
CONVERSE: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"text": "hello"}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"a": [1]}}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "t1",
                        "content": [{"json": {"a": 1}}, {"text": "warm"}],
                        "status": "success",
                    }
                }
            ],
        },
    ],
    "system": [{"text": "s"}],
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "d",
                    "inputSchema": {
                        "json": {"type": "object", "properties": {"a": {"type": "string"}}}
                    },
                }
            }
        ],
        "toolChoice": {"auto": {}},
    },
    "additionalModelRequestFields": {"top_k": 5},
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "requestMetadata": {"k": "v"},
}
PLAIN: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"text": "hello"}]}],
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "stopSequences": ["x"]},
    "additionalModelResponseFieldPaths": ["/stop_reason", "/generations/0/id", "/a~1b/c"],
}
CONVERSING: dict[str, dict[str, Any]] = {
    "amazon.titan-text-express-v1": PLAIN,
    "ai21.j2-mid-v1": PLAIN,
    "ai21.jamba-1-5-mini-v1:0": PLAIN,
    "cohere.command-text-v14": PLAIN,
    "meta.llama3-8b-instruct-v1:0": PLAIN,
    "mistral.mistral-7b-instruct-v0:2": PLAIN,
    "us.deepseek.r1-v1:0": PLAIN,
    "anthropic.claude-v2": PLAIN,
    "anthropic.claude-3-haiku-20240307-v1:0": CONVERSE,
    "openai.gpt-oss-20b-1:0": CONVERSE | {"additionalModelRequestFields": {"seed": 1}},
    "amazon.nova-lite-v1:0": CONVERSE
    | {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}},
    "cohere.command-r-v1:0": CONVERSE | {"additionalModelRequestFields": {"k": 5}},
    "mistral.mistral-large-2407-v1:0": CONVERSE | {"additionalModelRequestFields": {}},
}
COUNTED = "anthropic.claude-sonnet-4-20250514-v1:0"
LABELS = (
    "anthropic.claude-v2",
    "abc123def456",
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fanthropic.claude-v2",
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/a.b/abcdefghijkl",
    "%2e%2e",
    "%00",
    "%ff%fe",
    "",
    "日本".encode().hex("%"),
    "a" * 3000,
    "%",
    "..",
    "us.anthropic.claude-3-haiku-20240307-v1:0",
)
TEXTS = (
    "",
    "x",
    "日本語😀",
    "\x00",
    "\r\nX: y",
    "\n\nHuman:",
    "\u202e",
    "\ufffe",
    "a" * 5000,
    "{{7*7}}",
    "<|im_end|>",
    "%s%n",
    "../../etc",
)
NUMBERS = (
    0,
    -1,
    1,
    2**31,
    -(2**31) - 1,
    2**53 + 1,
    2**63,
    -(2**63),
    10**30,
    0.1,
    -0.0,
    1e308,
    5e-324,
)
EMPTY: tuple[Any, ...] = ([], {}, [[]], [None], {"": None})
RAW = (
    b"\xff\xfe",
    b"\x00",
    b'"\\ud800"',
    b'"\\udfff\\ud800"',
    b"\xed\xa0\x80",
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"1" * 500,
    b"{",
    b"]",
    b"null",
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf",
    b"'",
    b"\\u00",
    b"//",
    b"[" * 400 + b"]" * 400,
    b'{"a":' * 300 + b"1" + b"}" * 300,
)
HEADERS = (
    "accept",
    "content-type",
    "x-amzn-bedrock-accept",
    "x-amzn-bedrock-trace",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
    "x-amzn-bedrock-request-metadata",
    "x-amz-security",
    "expect",
    "x-forwarded-host",
    "transfer-encoding",
)
HEADER_TEXTS = (
    "",
    "*/*",
    "application/json; charset=utf-8",
    "text/xml",
    "a" * 4000,
    "ENABLED",
    "optimized",
    "\xff\xfe",
    "e30=",
    "%00",
    "eyJhIjoiYiJ9",
    "W1tbW1tbW1s=",
    ",,,;;;",
)


@dataclass(frozen=True)
class _Seed:
    method: str
    path: str
    body: Any = None


class Mutants:
    """``make`` gives one more; the same ``seed`` gives the same ones in the same order."""

    def __init__(self, seed: int) -> None:
        # Repeatable on purpose; nothing secret comes of it.
        self._random = random.Random(seed)  # noqa: S311
        self._served = list(_served())
        self._others = list(_others())
        self._members = sorted({key for each in self._served for key in _keys(each.body)})

    def make(self) -> Ask:
        dice = self._random
        seed = dice.choice(self._served if dice.random() < 0.85 else self._others)
        body = seed.body
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            body = self._changed(body)
        mutant = Ask(seed.method, seed.path, body=self._text(body))
        breaker = dice.random()
        if breaker < 0.06:
            return self._with_path(mutant)
        if breaker < 0.12:
            return self._with_query(mutant)
        if breaker < 0.30:
            return self._with_headers(mutant)
        return mutant

    def _text(self, body: Any) -> bytes:
        if body is None:
            return b"" if self._random.random() < 0.9 else self._random.choice(RAW)
        text = msgspec.json.encode(body)
        return self._torn(text) if self._random.random() < 0.25 else text

    def _torn(self, text: bytes) -> bytes:
        dice = self._random
        at = dice.randrange(len(text) + 1)
        match dice.randrange(5):
            case 0:
                return text[:at]
            case 1:
                return text[:at] + dice.choice(RAW) + text[at:]
            case 2:
                return text[:at] + dice.randbytes(dice.randrange(1, 9)) + text[at + 1 :]
            case 3:
                return dice.choice(RAW)
            case _:
                # A value of the text becomes one that is no JSON, or too large for a number.
                name = text.find(b":", at) + 1
                return text[:name] + dice.choice(RAW) + text[name:].lstrip(b'"0123456789.tfn')

    def _changed(self, value: Any) -> Any:
        """``value`` with one thing in it changed."""
        dice = self._random
        if isinstance(value, dict) and value and dice.random() < 0.85:
            return self._changed_object(cast("dict[str, Any]", value))
        if isinstance(value, list) and value and dice.random() < 0.85:
            items = list(cast("list[Any]", value))
            at = dice.randrange(len(items))
            if dice.random() < 0.2:
                return items[:at] + items[at + 1 :] if dice.random() < 0.5 else items * 3
            items[at] = self._changed(items[at])
            return items
        return self._junk()

    def _changed_object(self, value: dict[str, Any]) -> dict[str, Any]:
        dice = self._random
        name = dice.choice(list(value))
        changed = dict(value)
        match dice.randrange(6):
            case 0:
                del changed[name]
            case 1:
                changed[dice.choice(self._members)] = self._junk()
            case 2:
                changed[dice.choice((name.upper(), f"{name} ", "", "__proto__", "日本"))] = (
                    changed.pop(name)
                )
            case _:
                changed[name] = self._changed(changed[name])
        return changed

    def _junk(self) -> Any:
        dice = self._random
        match dice.randrange(8):
            case 0:
                return dice.choice(TEXTS)
            case 1:
                return dice.choice(NUMBERS)
            case 2:
                return dice.choice((None, True, False))
            case 3:
                return dice.choice(EMPTY)
            case 4:
                return [self._junk() for _ in range(dice.randrange(4))]
            case 5:
                return {dice.choice(self._members): self._junk()}
            case 6:
                return _nested(dice.choice((3, 30, 150)))
            case _:
                return dice.choice(self._served).body

    def _with_path(self, mutant: Ask) -> Ask:
        dice = self._random
        parts = mutant.path.split("/")
        at = dice.randrange(1, len(parts))
        match dice.randrange(4):
            case 0:
                parts[at] = dice.choice(LABELS)
            case 1:
                parts.insert(at, dice.choice(LABELS))
            case 2:
                parts.append("")
            case _:
                parts = ["", *(dice.choice(LABELS) for _ in range(dice.randrange(12)))]
        method = mutant.method if dice.random() < 0.7 else dice.choice(("GET", "PUT", "HEAD", "X"))
        return replace(mutant, method=method, path="/".join(parts) or "/")

    def _with_query(self, mutant: Ask) -> Ask:
        dice = self._random
        names = ("byProvider", "maxResults", "nextToken", "a%00", "%E6%97%A5", "byInferenceType")
        values = (
            "",
            "1",
            "-1",
            "99999999999999999999",
            "%FF",
            "%F0%9F%98%80",
            "FINE_TUNING",
            "1e9",
        )
        pairs = [f"{dice.choice(names)}={dice.choice(values)}" for _ in range(dice.randrange(1, 5))]
        return replace(mutant, query="&".join(pairs))

    def _with_headers(self, mutant: Ask) -> Ask:
        dice = self._random
        chosen = dice.sample(HEADERS, dice.randrange(1, 4))
        return replace(mutant, headers=tuple((name, dice.choice(HEADER_TEXTS)) for name in chosen))


def _served() -> Iterator[_Seed]:
    """Requests that succeed as they stand, for every operation with a handler."""
    for model, body in NATIVE.items():
        label = model.replace(":", "%3A")
        yield _Seed("POST", f"/model/{label}/invoke", body)
        if "embed" not in model and not model.startswith("ai21.j2"):
            yield _Seed("POST", f"/model/{label}/invoke-with-response-stream", body)
    for model, body in CONVERSING.items():
        label = model.replace(":", "%3A")
        yield _Seed("POST", f"/model/{label}/converse", body)
        if not model.startswith("ai21.j2"):
            yield _Seed("POST", f"/model/{label}/converse-stream", body)
    counted = f"/model/{COUNTED.replace(':', '%3A')}/count-tokens"
    converse = {key: CONVERSE[key] for key in ("messages", "system", "toolConfig")}
    yield _Seed("POST", counted, {"input": {"converse": converse}})
    native = msgspec.json.encode(NATIVE["anthropic.claude-3-haiku-20240307-v1:0"])
    yield _Seed("POST", counted, {"input": {"invokeModel": {"body": native}}})
    yield _Seed("GET", "/foundation-models")
    yield _Seed("GET", "/foundation-models/anthropic.claude-v2")


def _others() -> Iterator[_Seed]:
    """Every operation of the four services, with labels that may or may not fit."""
    for service in SERVICES:
        for operation in load_service(service).operations.values():
            path = operation.uri.partition("?")[0]
            for label in ("abcdefghij", LABELS[2]):
                parts = [label if part.startswith("{") else part for part in path.split("/")]
                body = None if operation.method in ("GET", "DELETE") else {"name": "n", "a": [1]}
                yield _Seed(operation.method, "/".join(parts), body)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _keys(item)


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value
