"""Pictures, documents, thoughts and cache points in each family's own form."""

import base64
import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import pytest
from family_recordings import models, rendering
from hypothesis import given, settings, strategies as st

from outcrop.catalog.model import Model
from outcrop.dialects import (
    anthropic,
    converse,
    deepseek,
    llama,
    mistral_chat,
    nova,
    openai_chat,
    text_dialect,
)
from outcrop.errors import AccessDeniedException, AWSError, ValidationException
from outcrop.generation import (
    CachePoint,
    Completion,
    Document,
    Event,
    Finished,
    Generation,
    Image,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningRequest,
    Started,
    Text,
    TextDelta,
    ToolResult,
    Video,
)

Json = dict[str, Any]
PNG: Final = b"\x89PNG\r\n\x1a\n0"
ENCODED: Final = base64.b64encode(PNG).decode()
CLAUDE: Final = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_3: Final = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_46: Final = "anthropic.claude-sonnet-4-6"
CLAUDE_5: Final = "anthropic.claude-sonnet-5"
NOVA: Final = "amazon.nova-lite-v1:0"
NOVA_2: Final = "amazon.nova-2-lite-v1:0"
NOVA_MICRO: Final = "amazon.nova-micro-v1:0"
GPT: Final = "openai.gpt-oss-20b-1:0"
QWEN: Final = "qwen.qwen3-32b-v1:0"
GEMMA: Final = "google.gemma-3-4b-it"
LLAMA: Final = "meta.llama3-2-11b-instruct-v1:0"
R1: Final = "deepseek.r1-v1:0"
PIXTRAL: Final = "mistral.pixtral-large-2502-v1:0"
THOUGHT: Final = Reasoning("hm", "sig")


def claude(*blocks: Json, model: str = CLAUDE, role: str = "user", **others: Any) -> Generation:
    messages: list[Json] = [{"role": role, "content": list(blocks)}]
    if role == "assistant":
        messages.insert(0, {"role": "user", "content": "hi"})
    body = {"anthropic_version": "v", "max_tokens": 2_000, "messages": messages, **others}
    return anthropic.parse(body, models()[model])


def by_converse(
    *blocks: Json, model: str = CLAUDE, role: str = "user", **others: Any
) -> Generation:
    messages: list[Json] = [{"role": role, "content": list(blocks)}]
    params = {"messages": messages, **others}
    return converse.parse(params, models()[model], text_dialect(models()[model]).extend)


def parts(generation: Generation) -> tuple[Part, ...]:
    return generation.turns[-1].parts


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(ValidationException) as caught:
        attempt()
    return caught.value.message


def claude_source(kind: str, media_type: str, data: str) -> Json:
    return {"type": kind, "media_type": media_type, "data": data}


CLAUDE_IMAGE: Final[Json] = {
    "type": "image",
    "source": claude_source("base64", "image/png", ENCODED),
}
IMAGE: Final[Json] = {"image": {"format": "png", "source": {"bytes": PNG}}}
POINT: Final[Json] = {"cachePoint": {"type": "default"}}
HI: Final[Json] = {"text": "hi"}


def test_claude_reads_pictures_documents_and_marks() -> None:
    document = claude_source("text", "text/plain", "facts")
    pdf = claude_source("base64", "application/pdf", base64.b64encode(b"%PDF").decode())
    mark = {"type": "ephemeral"}
    generation = claude(
        {**CLAUDE_IMAGE, "cache_control": mark},
        {"type": "document", "source": document, "title": "a b", "citations": {"enabled": False}},
        {"type": "document", "source": pdf},
        system=[{"type": "text", "text": "be kind", "cache_control": {**mark, "ttl": "5m"}}],
        tools=[{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}],
    )
    assert parts(generation) == (
        Image("png", PNG),
        CachePoint(),
        Document("txt", "a b", b"facts"),
        Document("pdf", "", b"%PDF"),
    )
    assert generation.cached == {"system", "tools"}


def test_claude_reads_thoughts_back() -> None:
    blocks: list[Json] = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "abc="},
        {"type": "text", "text": "so"},
    ]
    expected = (THOUGHT, Reasoning("", redacted=b"abc="), Text("so"))
    assert parts(claude(*blocks, role="assistant")) == expected


def test_a_tool_may_answer_with_a_picture() -> None:
    call: Json = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [CLAUDE_IMAGE]}
    messages: list[Json] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    generation = claude(HI, messages=messages, tools=tools)
    assert parts(generation) == (ToolResult("1", "", media=(Image("png", PNG),)),)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/b"}},
         "messages.0.content.0.image.source.base64.data: URL sources are not supported"),
        ({"type": "image", "source": claude_source("base64", "image/tiff", "eA==")},
         "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', "
         "'image/png', 'image/gif' or 'image/webp'"),
        ({"type": "image", "source": claude_source("base64", "image/png", "\u00e9")},
         "messages.0.content.0.image.source.base64.data: Invalid base64 data"),
        ({"type": "image", "source": claude_source("base64", "image/png", "A" * 5_242_881)},
         "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 5242881 bytes > "
         "5242880 bytes"),
        ({"type": "document", "source": claude_source("text", "text/plain", "a"),
          "citations": {"enabled": True}},
         "messages.0.content.0.document.citations: Extra inputs are not permitted"),
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
         "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m'"),
        ({"type": "thinking", "thinking": "a", "signature": "b"},
         "messages.0.content.0.thinking: `thinking` blocks can only be in `assistant` messages"),
    ],
)  # fmt: skip
def test_claude_tells_what_is_wrong_with_a_block(block: Json, told: str) -> None:
    assert refusal(lambda: claude(block)) == told


def test_a_claude_without_the_capability_refuses() -> None:
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert "cache_control: Extra inputs" in refusal(lambda: claude(marked, model=CLAUDE_3))
    blind = "anthropic.claude-3-5-haiku-20241022-v1:0"
    assert "the image content block" in refusal(lambda: claude(CLAUDE_IMAGE, model=blind))
    thought = {"type": "thinking", "thinking": "a", "signature": "b"}
    told = refusal(lambda: claude(thought, model=CLAUDE_3, role="assistant"))
    assert "the thinking content block" in told
    assert claude({"type": "text", "text": "a"}, model=CLAUDE_3).cached == frozenset()


TEXT: Final[Json] = {"type": "text", "text": "a"}
ENABLED: Final[Json] = {"type": "enabled", "budget_tokens": 1_024}


@pytest.mark.parametrize(
    ("model", "others", "asked"),
    [
        (CLAUDE, {"thinking": ENABLED}, ReasoningRequest(1_024)),
        (CLAUDE, {"thinking": {"type": "disabled"}}, None),
        (CLAUDE_46, {"thinking": {"type": "adaptive"}}, ReasoningRequest()),
        (CLAUDE_5, {"thinking": {"type": "adaptive", "display": "summarized"},
                    "output_config": {"effort": "low"}}, ReasoningRequest(effort="low")),
        (CLAUDE_46, {"output_config": {"effort": "high"}}, None),
    ],
)  # fmt: skip
def test_claude_is_asked_to_think(model: str, others: Json, asked: ReasoningRequest | None) -> None:
    assert claude(TEXT, model=model, **others).reasoning == asked
    assert by_converse(HI, model=model, additionalModelRequestFields=others).reasoning == asked


@pytest.mark.parametrize(
    ("model", "others", "told"),
    [
        (CLAUDE_3, {"thinking": ENABLED}, "thinking: Extra inputs are not permitted"),
        (CLAUDE, {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported"),
        (CLAUDE_5, {"thinking": ENABLED}, '"thinking.type.enabled" is not supported'),
        (CLAUDE, {"thinking": {**ENABLED, "budget_tokens": 1_023}},
         "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        (CLAUDE, {"thinking": {**ENABLED, "budget_tokens": True}}, "should be a valid integer"),
        (CLAUDE, {"thinking": {**ENABLED, "budget_tokens": 2_000}},
         "`max_tokens` must be greater than `thinking.budget_tokens`."),
        (CLAUDE, {"thinking": ENABLED, "temperature": 0.5},
         "`temperature` may only be set to 1 when thinking is enabled."),
        (CLAUDE, {"thinking": ENABLED, "top_p": 0.5}, "`top_p` must be greater"),
        (CLAUDE, {"thinking": ENABLED, "top_k": 5}, "`top_k` must be unset"),
        (CLAUDE, {"thinking": ENABLED, "tool_choice": {"type": "any"},
                  "tools": [{"name": "f", "input_schema": {"type": "object"}}]},
         "Thinking may not be enabled when tool_choice forces tool use."),
        (CLAUDE_5, {"thinking": {"type": "adaptive", "display": "omitted"}}, "display"),
        (CLAUDE_46, {"output_config": {"effort": "low"}}, "cannot be honoured"),
        (CLAUDE_46, {"output_config": {"format": {}}}, "output_config.format: Extra inputs"),
    ],
)  # fmt: skip
def test_claude_tells_why_it_cannot_think(model: str, others: Json, told: str) -> None:
    assert told in refusal(lambda: claude(TEXT, model=model, **others))


@pytest.mark.parametrize(
    ("model", "fields", "effort"),
    [
        (NOVA_2, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, "low"),
        (GPT, {"reasoning_effort": "high"}, "high"),
        (QWEN, {"reasoning_config": "medium"}, "medium"),
        (CLAUDE, {"reasoning_config": ENABLED}, None),
    ],
)
def test_each_family_is_asked_to_think_in_its_own_words(
    model: str, fields: Json, effort: str | None
) -> None:
    reasoning = by_converse(HI, model=model, additionalModelRequestFields=fields).reasoning
    assert reasoning is not None
    assert reasoning.effort == effort
    unable = {NOVA_2: NOVA, GPT: GEMMA, QWEN: GEMMA, CLAUDE: CLAUDE_3}[model]
    assert refusal(lambda: by_converse(HI, model=unable, additionalModelRequestFields=fields))


def test_converses_effort_needs_a_model_that_thinks() -> None:
    adaptive = {"thinking": {"type": "adaptive"}}
    effort: Json = {"outputConfig": {"effort": "low"}}
    asked = by_converse(HI, model=CLAUDE_5, additionalModelRequestFields=adaptive, **effort)
    assert asked.reasoning == ReasoningRequest(effort="low")
    assert "outputConfig.effort" in refusal(lambda: by_converse(HI, model=CLAUDE_5, **effort))


def test_converse_reads_media_and_cache_points() -> None:
    generation = by_converse(
        HI, IMAGE, {"document": {"name": "a_b (1)", "source": {"text": "facts"}}}, POINT,
        {"video": {"format": "mp4", "source": {"bytes": b"v"}}},
        model=NOVA, system=[{"text": "be kind"}, POINT],
    )  # fmt: skip
    assert parts(generation) == (
        Text("hi"),
        Image("png", PNG),
        Document("txt", "a_b (1)", b"facts"),
        CachePoint(),
        Video("mp4", b"v"),
    )
    assert generation.system == "be kind"
    assert generation.cached == {"system"}


def document(**members: Any) -> Json:
    return {"document": {"name": "a", "format": "pdf", "source": {"bytes": b"p"}, **members}}


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([IMAGE] * 21, "has 21 image blocks"),
        ([HI, *[document()] * 6], "has 6 document blocks"),
        ([document()], "A text block must be included when using documents."),
        ([HI, document(name="a  b")], "invalid characters"),
        ([HI, document(name="a/b")], "invalid characters"),
        ([HI, document(source={"bytes": b"1" * 4_718_593})], "exceeds the limit of 4718592"),
        ([HI, document(source={"text": "1" * 4_718_593})], "exceeds the limit of 4718592"),
        ([{"image": {"format": "png", "source": {"bytes": b"1" * 3_932_161}}}],
         "exceeds the limit of 3932160"),
        ([{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}],
         "This model doesn't support the s3Uri field. Remove s3Uri and try again."),
        ([{"video": {"format": "mp4", "source": {"bytes": b"1"}}}], "the video content block"),
        ([{"audio": {"format": "mp3", "source": {"bytes": b"1"}}}], "the audio content block"),
        ([HI, *[POINT] * 5], "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ([{"cachePoint": {"type": "default", "ttl": "1h"}}], "cachePoint.ttl"),
        ([{"reasoningContent": {"reasoningText": {"text": "a"}}}],
         "User messages cannot contain reasoning content."),
    ],
)  # fmt: skip
def test_converse_tells_what_is_wrong_with_blocks(blocks: list[Json], told: str) -> None:
    assert told in refusal(lambda: by_converse(*blocks))


def test_converse_takes_thoughts_back_only_as_the_model_made_them() -> None:
    unsigned: Json = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    signed: Json = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}
    hidden: Json = {"reasoningContent": {"redactedContent": b"abc="}}
    assert parts(by_converse(signed, role="assistant")) == (THOUGHT,)
    assert parts(by_converse(hidden, role="assistant")) == (Reasoning("", redacted=b"abc="),)
    assert parts(by_converse(unsigned, role="assistant", model=GPT)) == (Reasoning("hm"),)
    assert refusal(lambda: by_converse(signed, role="assistant", model=GPT)) == (
        "This model doesn't support the reasoningContent.reasoningText.signature field. "
        "Remove reasoningContent.reasoningText.signature and try again."
    )
    assert "redactedContent" in refusal(lambda: by_converse(hidden, role="assistant", model=GPT))
    told = refusal(lambda: by_converse(unsigned, role="assistant", model=GEMMA))
    assert "the reasoningContent field" in told


def test_a_model_that_cannot_cache_denies_a_cache_point() -> None:
    with pytest.raises(AccessDeniedException, match="did not allow prompt caching"):
        by_converse(HI, POINT, model=GPT)


def test_nova_reads_its_blocks() -> None:
    image = {"image": {"format": "png", "source": {"bytes": ENCODED}}}
    file = {"document": {"format": "pdf", "name": "a", "source": {"bytes": ENCODED}}}
    video = {"video": {"format": "mp4", "source": {"bytes": ENCODED}}}
    body: Json = {
        "system": [{"text": "be kind"}, POINT],
        "messages": [{"role": "user", "content": [image, file, video, POINT, HI]}],
    }
    generation = nova.parse(body, models()[NOVA])
    assert parts(generation) == (
        Image("png", PNG),
        Document("pdf", "a", PNG),
        Video("mp4", PNG),
        CachePoint(),
        Text("hi"),
    )
    assert generation.cached == {"system"}
    thinking = {**body, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    assert nova.parse(thinking, models()[NOVA_2]).reasoning == ReasoningRequest(effort="high")
    assert "reasoningConfig" in refusal(lambda: nova.parse(thinking, models()[NOVA]))
    assert "the image content" in refusal(lambda: nova.parse(body, models()[NOVA_MICRO]))
    body["messages"][0]["content"] = [{"image": {"format": "png", "source": {"bytes": "-"}}}]
    assert "expected base64" in refusal(lambda: nova.parse(body, models()[NOVA]))


def chat(model: str, url: str) -> Generation:
    content = [{"type": "text", "text": "what"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"messages": [{"role": "user", "content": content}]}
    dialect = mistral_chat if model == PIXTRAL else openai_chat
    return dialect.parse(body, models()[model])


@pytest.mark.parametrize("model", [GEMMA, PIXTRAL])
def test_chat_forms_read_data_uris_and_fetch_nothing(model: str) -> None:
    generation = chat(model, f"data:image/png;base64,{ENCODED}")
    assert parts(generation) == (Text("what"), Image("png", PNG))
    for url in ("https://a.example/b.png", "data:image/tiff;base64,eA==", "data:image/png,x"):
        assert "expected a data URI" in refusal(lambda url=url: chat(model, url))


def test_a_chat_model_that_is_blind_says_so() -> None:
    told = refusal(lambda: chat(GPT, f"data:image/png;base64,{ENCODED}"))
    assert "the image content block" in told


def test_llama_puts_images_in_the_places_of_their_marks() -> None:
    def parse(prompt: str, count: int = 1, model: str = LLAMA) -> tuple[Part, ...]:
        body = {"prompt": prompt, "images": [ENCODED] * count}
        return parts(llama.parse(body, models()[model]))

    assert parse("<|image|>see") == (Image("png", PNG), Text("see"))
    assert parse("see") == (Image("png", PNG), Text("see"))
    assert "expected item count: 1" in refusal(lambda: parse("<|image|>see", 2))
    blind = "meta.llama3-8b-instruct-v1:0"
    assert "the image content" in refusal(lambda: parse("see", 1, blind))


EVENTS: Final[list[Event]] = [
    Started(3),
    ReasoningDelta("h", 1),
    ReasoningDelta("m", 2),
    ReasoningDelta("", 2, signature="sig"),
    TextDelta("so", 3),
    Finished("end", 3, 3, cache_read_tokens=5, cache_write_tokens=7),
]
ANSWER: Final = Completion(
    (THOUGHT, Text("so")), "end", 3, 3, cache_read_tokens=5, cache_write_tokens=7
)


def _chunks(dialect: ModuleType, model: Model) -> list[Json]:
    stream = dialect.chunks(rendering(model, {"messages": []}))
    return [chunk for event in EVENTS for chunk in stream.feed(event)]


def test_claude_streams_a_thought_as_a_block_that_its_signature_ends() -> None:
    chunks = _chunks(anthropic, models()[CLAUDE])
    assert [chunk["type"].removeprefix("content_block_") for chunk in chunks] == [
        "message_start", "start", "delta", "delta", "delta", "stop", "start", "delta", "stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert chunks[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert chunks[4]["delta"] == {"type": "signature_delta", "signature": "sig"}
    assert chunks[-2]["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 5,
        "output_tokens": 3,
    }
    body = anthropic.render([ANSWER], rendering(models()[CLAUDE], {"messages": []}))
    assert body["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert body["usage"]["cache_creation"]["ephemeral_5m_input_tokens"] == 7


def test_a_redacted_thought_is_a_block_of_its_own() -> None:
    stream = anthropic.chunks(rendering(models()[CLAUDE], {"messages": []}))
    events: list[Event] = [Started(1), ReasoningDelta("", 1, redacted=b"abc=")]
    start = [chunk for event in events for chunk in stream.feed(event)][1]
    assert start["content_block"] == {"type": "redacted_thinking", "data": "abc="}


def test_nova_tells_thoughts_and_cache() -> None:
    body = nova.render([ANSWER], rendering(models()[NOVA_2], {}))
    assert body["output"]["message"]["content"][0] == {
        "reasoningContent": {"reasoningText": {"text": "hm"}}
    }
    assert body["usage"]["totalTokens"] == 18
    assert body["usage"]["cacheReadInputTokenCount"] == 5
    assert sum("contentBlockDelta" in chunk for chunk in _chunks(nova, models()[NOVA_2])) == 3


@pytest.mark.parametrize(
    ("dialect", "model", "told"),
    [
        (openai_chat, GPT, "<reasoning>hm</reasoning>so"),
        (openai_chat, GEMMA, "so"),
        (deepseek, R1, "<think>\nhm\n</think>\n\nso"),
    ],
)
def test_families_without_blocks_tell_thoughts_in_the_text(
    dialect: ModuleType, model: str, told: str
) -> None:
    choice = dialect.render([ANSWER], rendering(models()[model], {}))["choices"][0]
    assert choice.get("text", choice.get("message", {}).get("content")) == told
    choices = [chunk["choices"][0] for chunk in _chunks(dialect, models()[model])]
    pieces = [each.get("text", each.get("delta", {}).get("content", "")) for each in choices]
    assert "".join(pieces) == told


WORDS: Final = [
    *("type", "text", "source", "data", "media_type", "cache_control", "thinking", "signature"),
    *("image", "document", "video", "cachePoint", "reasoningContent", "format", "bytes", "name"),
    *("title", "context", "citations", "url", "image_url", "reasoningText", "content", "ttl"),
]
KINDS: Final = ["image", "document", "thinking", "redacted_thinking", "text", "base64", "url"]
VALUES: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=8),
        st.sampled_from(
            [*KINDS, "image/png", "text/plain", "png", "default", "ephemeral", ENCODED]
        ),
        st.just("\ud800"),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=16,
)
BLOCKS: Final = st.lists(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=4), max_size=3)


@pytest.mark.parametrize("model", [CLAUDE, NOVA_2, GEMMA, PIXTRAL])
@settings(deadline=None, max_examples=80)
@given(content=BLOCKS, role=st.sampled_from(["user", "assistant"]))
def test_any_blocks_are_read_or_refused(model: str, content: list[Json], role: str) -> None:
    body = {"messages": [{"role": role, "content": content}]}
    if model == CLAUDE:
        body |= {"anthropic_version": "v", "max_tokens": 9}
    with contextlib.suppress(AWSError):
        text_dialect(models()[model]).parse(body, models()[model])


@settings(deadline=None, max_examples=80)
@given(fields=st.dictionaries(st.sampled_from(["thinking", "output_config"]), VALUES))
def test_any_wish_to_think_is_read_or_refused(fields: Json) -> None:
    with contextlib.suppress(AWSError):
        claude(TEXT, **fields)
