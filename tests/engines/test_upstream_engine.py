"""The Bedrock engine against a server that checks signatures as AWS does and answers with what AWS
once sent."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session
from botocore.validate import ParamValidator
from msgspec.structs import replace

from outcrop.config import ConfigError, Upstream
from outcrop.engines.protocol import (
    EngineBusy,
    EngineFailed,
    EngineGone,
    EngineNotReady,
    EngineRefused,
    EngineTimeout,
    InputTooLong,
    Unsupported,
)
from outcrop.engines.upstream import UpstreamEngine, request
from outcrop.generation import (
    CachePoint,
    Document,
    EmbeddingRequest,
    Event,
    Finished,
    Generation,
    Image,
    Reasoning,
    ReasoningDelta,
    ReasoningRequest,
    Sampling,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    ToolUseDelta,
    ToolUseStarted,
    Turn,
    Video,
)
from outcrop.wire.eventstream import encode

SHARED = Path(__file__).resolve().parents[2] / "../shared"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ASK = Generation(turns=(Turn("user", (Text("Hi"),)),), max_tokens=50)
WEATHER = Tool("weather", "Tells the weather", {"type": "object"})
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "made-up-secret"


def recorded() -> list[tuple[str, bytes]]:
    with (SHARED / "real-responses.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        (row["id"], base64.b64decode(row["response_body_b64"]))
        for row in rows
        if row["op"] == "ConverseStream" and row.get("response_body_b64")
    ]


def signature(request: web.Request, body: bytes) -> str:
    """What botocore would sign the request with, at the moment that the request names."""
    url = f"http://{request.headers['Host']}{request.raw_path}"
    again = AWSRequest(request.method, url, {"Content-Type": "application/json"}, body)
    again.headers["X-Amz-Date"] = request.headers["X-Amz-Date"]
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", "eu-west-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return signer.signature(text, again)


class Bedrock:
    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", dict[str, str]()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.genuine: list[bool] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.raw_path, json.loads(body)))
        claimed = request.headers["Authorization"].rpartition("Signature=")[2]
        self.genuine.append(claimed == signature(request, body))
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@asynccontextmanager
async def bedrock(model: str = MODEL) -> AsyncGenerator[tuple[Bedrock, UpstreamEngine]]:
    server, app = Bedrock(), web.Application()
    app.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = Upstream(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{site.port}")
    engine = UpstreamEngine("aws", config, model)
    try:
        yield server, engine
    finally:
        await engine.close()
        await runner.cleanup()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


async def collect(engine: UpstreamEngine, generation: Generation = ASK) -> list[Event]:
    return [event async for event in engine.generate(generation)]


def frame(event_type: str, **payload: Any) -> bytes:
    return encode(
        {":event-type": event_type, ":message-type": "event"}, json.dumps(payload).encode()
    )


def stream(*texts: str, reason: str = "end_turn", **fields: Any) -> bytes:
    deltas = [
        frame("contentBlockDelta", contentBlockIndex=0, delta={"text": text}) for text in texts
    ]
    usage = {"inputTokens": 8, "outputTokens": 5, "totalTokens": 13}
    return b"".join(
        [
            frame("messageStart", role="assistant"),
            *deltas,
            frame("contentBlockStop", contentBlockIndex=0),
            frame("messageStop", stopReason=reason, **fields),
            frame("metadata", usage=usage, metrics={"latencyMs": 1}),
        ]
    )


@pytest.mark.parametrize(("identity", "body"), recorded(), ids=lambda value: str(value)[:16])
async def test_every_recorded_stream_is_read(identity: str, body: bytes) -> None:
    async with bedrock() as (server, engine):
        server.body = body
        answer = await collect(engine)
        assert server.genuine == [True], identity
        assert answer[0] == Started(0)
        assert isinstance(answer[-1], Finished)
        assert answer[-1].input_tokens > 0
        calls = sum(isinstance(event, ToolUseStarted) for event in answer)
        assert body.count(b'"start":{"toolUse"') == calls
        if answer[-1].stop == "tool_use":
            assert calls > 0


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (MODEL, "anthropic.claude-3-haiku-20240307-v1%3A0"),
        ("arn:aws:bedrock:::x/y.z", "arn%3Aaws%3Abedrock%3A%3A%3Ax%2Fy.z"),
    ],
)
async def test_requests_are_signed_for_ids_and_arns(model: str, path: str) -> None:
    async with bedrock(model) as (server, engine):
        server.body = stream("Hi")
        await collect(engine)
        assert server.genuine == [True]
        assert server.asked[0][0] == f"/model/{path}/converse-stream"


async def test_a_conversation_is_sent_as_converse_has_it() -> None:
    turns = (
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (ToolUse("c1", "weather", {"city": "京都"}),)),
        Turn("user", (ToolResult("c1", "rain", is_error=True),)),
    )
    async with bedrock() as (server, engine):
        server.body = stream("Rain")
        await collect(
            engine,
            replace(
                ASK,
                turns=turns,
                system="Be brief",
                tools=(WEATHER,),
                tool_choice=ToolChoice("tool", "weather"),
                sampling=Sampling(temperature=0, top_k=3),
                stop_sequences=("a", "b"),
            ),
        )
        assert server.asked[0][1] == {
            "messages": [
                {"role": "user", "content": [{"text": "Weather?"}]},
                {
                    "role": "assistant",
                    "content": [
                        {
                            "toolUse": {
                                "toolUseId": "c1",
                                "name": "weather",
                                "input": {"city": "京都"},
                            }
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "c1",
                                "content": [{"text": "rain"}],
                                "status": "error",
                            }
                        }
                    ],
                },
            ],
            "system": [{"text": "Be brief"}],
            "toolConfig": {
                "tools": [
                    {
                        "toolSpec": {
                            "name": "weather",
                            "inputSchema": {"json": {"type": "object"}},
                            "description": "Tells the weather",
                        }
                    }
                ],
                "toolChoice": {"tool": {"name": "weather"}},
            },
            "inferenceConfig": {"maxTokens": 50, "temperature": 0, "stopSequences": ["a", "b"]},
            "additionalModelRequestFields": {"top_k": 3},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
        }


async def test_every_part_has_its_block_of_converse() -> None:
    media = (Image("png", b"i"), Document("pdf", "report", b"d"), Video("mp4", b"v"))
    turns = (
        Turn("user", (Text("See"), *media, CachePoint())),
        Turn(
            "assistant", (Reasoning("Hm.", "c2ln"), Reasoning("", redacted=b"x"), Reasoning("So"))
        ),
        Turn(
            "user", (ToolResult("c1", "", media=media[:1]), ToolResult("c2", "t", media=media[1:2]))
        ),
    )
    async with bedrock() as (server, engine):
        server.body = stream("Yes")
        await collect(
            engine,
            replace(
                ASK,
                turns=turns,
                system="Be brief",
                tools=(WEATHER,),
                cached=frozenset({"system", "tools"}),
            ),
        )
        assert server.genuine == [True]
        body = server.asked[0][1]
    point = {"cachePoint": {"type": "default"}}
    image = {"image": {"format": "png", "source": {"bytes": "aQ=="}}}
    report = {"document": {"format": "pdf", "name": "report", "source": {"bytes": "ZA=="}}}
    assert [message["content"] for message in body["messages"]] == [
        [
            {"text": "See"},
            image,
            report,
            {"video": {"format": "mp4", "source": {"bytes": "dg=="}}},
            point,
        ],
        [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "eA=="}},
            {"reasoningContent": {"reasoningText": {"text": "So"}}},
        ],
        [
            {"toolResult": {"toolUseId": "c1", "content": [image]}},
            {"toolResult": {"toolUseId": "c2", "content": [{"text": "t"}, report]}},
        ],
    ]
    assert body["system"] == [{"text": "Be brief"}, point]
    assert body["toolConfig"]["tools"][-1] == point


async def test_what_is_sent_is_what_botocore_knows() -> None:
    media = (Image("png", b"i"), Document("pdf", "report", b"d"), Video("mp4", b"v"))
    parts = (*media, CachePoint(), Reasoning("Hm.", "s"), ToolResult("c1", "t", media=media))
    generation = replace(ASK, turns=(Turn("user", parts),), reasoning=ReasoningRequest(2048))
    shape = Session().get_service_model("bedrock-runtime").operation_model("ConverseStream")
    body = request.render(generation, MODEL, "aws")
    assert shape.input_shape is not None
    report = ParamValidator().validate({"modelId": MODEL, **body}, shape.input_shape)
    assert not report.has_errors(), report.generate_report()


CLAUDE, NOVA = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-2-lite-v1:0"


@pytest.mark.parametrize(
    ("model", "asked", "fields"),
    [
        (
            CLAUDE,
            ReasoningRequest(2048),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            CLAUDE,
            ReasoningRequest(effort="high"),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (CLAUDE, ReasoningRequest(), {"thinking": {"type": "adaptive"}}),
        (
            NOVA,
            ReasoningRequest(effort="low"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        ),
        (
            "openai.gpt-oss-20b-1:0",
            ReasoningRequest(effort="medium"),
            {"reasoning_effort": "medium"},
        ),
        ("deepseek.v3-v1:0", ReasoningRequest(effort="high"), {"reasoning_effort": "high"}),
    ],
)
def test_each_family_is_asked_to_think_in_its_own_words(
    model: str, asked: ReasoningRequest, fields: dict[str, Any]
) -> None:
    generation = replace(ASK, reasoning=asked, sampling=Sampling(temperature=1.0))
    assert request.render(generation, model, "aws")["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (NOVA, ReasoningRequest(2048)),
        (NOVA, ReasoningRequest(effort="high")),
        ("amazon.nova-pro-v1:0", ReasoningRequest(effort="low")),
        ("openai.gpt-oss-20b-1:0", ReasoningRequest(2048)),
        ("openai.gpt-oss-20b-1:0", ReasoningRequest()),
        ("meta.llama3-8b-instruct-v1:0", ReasoningRequest(effort="low")),
    ],
)
def test_a_family_without_a_word_for_it_is_not_asked_to_think(
    model: str, asked: ReasoningRequest
) -> None:
    with pytest.raises(Unsupported, match=r"reasoning=(2048|'low'|'high'|'enabled') cannot"):
        request.render(replace(ASK, reasoning=asked), model, "aws")


async def test_thoughts_and_cache_figures_come_back() -> None:
    def thought(**content: Any) -> bytes:
        return frame("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": content})

    usage = {
        "inputTokens": 8,
        "outputTokens": 5,
        "totalTokens": 33,
        "cacheReadInputTokens": 12,
        "cacheWriteInputTokens": 8,
    }
    async with bedrock() as (server, engine):
        server.body = b"".join(
            [
                frame("messageStart", role="assistant"),
                thought(text="Hm."),
                thought(signature="c2ln"),
                thought(redactedContent="eA=="),
                frame("contentBlockDelta", contentBlockIndex=1, delta={"text": "Yes"}),
                frame("messageStop", stopReason="end_turn"),
                frame("metadata", usage=usage, metrics={"latencyMs": 1}),
            ]
        )
        assert await collect(engine) == [
            Started(0),
            ReasoningDelta("Hm.", 1),
            ReasoningDelta("", 2, signature="c2ln"),
            ReasoningDelta("", 3, redacted=b"x"),
            TextDelta("Yes", 4),
            Finished("end", 8, 5, cache_read_tokens=12, cache_write_tokens=8),
        ]


@pytest.mark.parametrize("reason", ["content_filtered", "guardrail_intervened"])
async def test_an_answer_that_bedrock_filtered_is_told_as_one(reason: str) -> None:
    async with bedrock() as (server, engine):
        server.body = stream("so far", reason=reason)
        assert (await collect(engine))[-1] == Finished("filtered", 8, 5)


async def test_text_and_counts_come_back() -> None:
    async with bedrock() as (server, engine):
        server.body = stream("Hel", "lo 🙂")
        assert await collect(engine) == [
            Started(0),
            TextDelta("Hel", 1),
            TextDelta("lo 🙂", 2),
            Finished("end", 8, 5),
        ]


async def test_a_tool_use_comes_back_in_pieces() -> None:
    async with bedrock() as (server, engine):
        use = {"toolUseId": "t1", "name": "weather"}
        started = frame("contentBlockStart", contentBlockIndex=0, start={"toolUse": use})
        piece = frame("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "{}"}})
        server.body = stream(reason="tool_use").replace(
            frame("contentBlockStop", contentBlockIndex=0), started + piece
        )
        answer = await collect(engine)
        assert answer[1:3] == [ToolUseStarted("t1", "weather"), ToolUseDelta("{}", 1)]
        assert answer[-1] == Finished("tool_use", 8, 5)


async def test_the_stop_sequence_met_is_named() -> None:
    async with bedrock() as (server, engine):
        fields = {"additionalModelResponseFields": {"stop_sequence": "b"}}
        server.body = stream("x", reason="stop_sequence", **fields)
        answer = await collect(engine, replace(ASK, stop_sequences=("a", "b")))
        assert answer[-1] == Finished("stop_sequence", 8, 5, "b")


async def test_a_stop_sequence_that_a_model_returns_is_taken_off() -> None:
    async with bedrock() as (server, engine):
        server.body = stream("one E", "ND", reason="stop_sequence")
        answer = await collect(engine, replace(ASK, stop_sequences=("END",)))
        assert "".join(e.text for e in answer if isinstance(e, TextDelta)) == "one "
        assert answer[-1] == Finished("stop_sequence", 8, 5, "END")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (429, "ThrottlingException", EngineBusy),
        (429, "ModelNotReadyException:http://internal", EngineNotReady),
        (503, "ServiceUnavailableException", EngineNotReady),
        (408, "ModelTimeoutException", EngineTimeout),
        (400, "ValidationException:http://internal", EngineRefused),
        (403, "AccessDeniedException", EngineFailed),
    ],
)
async def test_refusals_keep_their_meaning_and_words(
    status: int, code: str, error: type[Exception]
) -> None:
    async with bedrock() as (server, engine):
        server.status, server.headers = status, {"x-amzn-errortype": code}
        server.body = b'{"message":"the reason why"}'
        with pytest.raises(error, match="the reason why"):
            await collect(engine)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("us.anthropic.claude-sonnet-4-6", {"top_k": 3}),
        ("cohere.command-text-v14", {"k": 3}),
        ("mistral.mistral-7b-instruct-v0:2", {"top_k": 3}),
        ("us.amazon.nova-lite-v1:0", {"inferenceConfig": {"topK": 3}}),
    ],
)
def test_top_k_stands_where_the_model_has_it(model: str, fields: dict[str, Any]) -> None:
    asked = replace(ASK, sampling=Sampling(top_k=3))
    assert request.render(asked, model, "cloud")["additionalModelRequestFields"] == fields
    with pytest.raises(Unsupported, match="top_k"):
        request.render(asked, "amazon.titan-text-lite-v1", "cloud")


async def test_a_prompt_that_is_too_long_is_told_with_its_numbers() -> None:
    async with bedrock() as (server, engine):
        server.status = 400
        server.body = b'{"message":"prompt is too long: 210 tokens > 200 maximum"}'
        with pytest.raises(InputTooLong) as refusal:
            await collect(engine)
        assert (refusal.value.limit, refusal.value.received) == (200, 210)


async def test_an_exception_in_the_stream_keeps_its_meaning() -> None:
    async with bedrock() as (server, engine):
        start = frame("messageStart", role="assistant")
        thrown = encode({":exception-type": "throttlingException"}, b'{"message":"slow"}')
        server.body = start + thrown
        with pytest.raises(EngineBusy, match="slow"):
            await collect(engine)


async def test_a_stream_that_breaks_off_is_a_lost_engine() -> None:
    async with bedrock() as (server, engine):
        server.body = stream("Hi")[:-100]
        with pytest.raises(EngineGone):
            await collect(engine)


async def test_a_stream_of_other_bytes_fails() -> None:
    async with bedrock() as (server, engine):
        server.body = b"no event stream at all"
        with pytest.raises(EngineFailed, match="broken"):
            await collect(engine)


@pytest.mark.parametrize(
    "generation",
    [
        replace(ASK, sampling=Sampling(seed=1)),
        replace(ASK, logprobs="generation"),
        replace(ASK, json_schema={}),
        replace(ASK, truncate="end", max_input_tokens=3),
        replace(
            ASK, turns=(Turn("user", (Image("png", b""),)),), truncate="end", max_input_tokens=9000
        ),
    ],
)
async def test_what_converse_cannot_say_is_refused(generation: Generation) -> None:
    async with bedrock() as (server, engine):
        with pytest.raises(Unsupported):
            await collect(engine, generation)
        assert server.asked == []


async def test_tokens_are_counted_by_bedrock() -> None:
    async with bedrock() as (server, engine):
        server.body = b'{"inputTokens": 21}'
        assert await engine.count_tokens(ASK) == 21
        assert server.asked[0][0].endswith("/count-tokens")


async def test_what_is_no_utf_8_is_an_answer_that_cannot_be_read() -> None:
    async with bedrock() as (server, engine):
        delta = b'{"contentBlockIndex": 0, "delta": {"text": "\xff"}}'
        server.body = encode({":event-type": "contentBlockDelta", ":message-type": "event"}, delta)
        with pytest.raises(EngineFailed, match="cannot be read"):
            await collect(engine)
        server.status, server.body = 503, b'{"message": "\xff"}'
        with pytest.raises(EngineNotReady, match="503"):
            await collect(engine)


async def test_titan_and_cohere_embeddings_are_read() -> None:
    async with bedrock("amazon.titan-embed-text-v2:0") as (server, engine):
        server.body = b'{"embedding": [0.6, 0.8], "inputTextTokenCount": 3}'
        embeddings = await engine.embed(EmbeddingRequest(("a",), 2, 100))
        assert embeddings.input_tokens == (3,)
        assert list(embeddings.vectors[0]) == pytest.approx([0.6, 0.8])
        assert server.asked[0][1]["dimensions"] == 2
    async with bedrock("cohere.embed-english-v3") as (server, engine):
        server.body = b'{"embeddings": [[0.6, 0.8]]}'
        server.headers = {"x-amzn-bedrock-input-token-count": "4"}
        asked = EmbeddingRequest(("a",), 2, 100, truncate="end", input_type="search_query")
        assert (await engine.embed(asked)).input_tokens == (4,)
        assert server.asked[0][1]["truncate"] == "END"


async def test_without_credentials_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    async with bedrock() as (server, engine):
        with pytest.raises(EngineFailed, match="no credentials"):
            await collect(engine)
        assert server.asked == []


def test_a_model_must_be_named() -> None:
    with pytest.raises(ConfigError, match="model"):
        UpstreamEngine("aws", Upstream(region="eu-west-1"))
