"""The default model behind a running gateway: live streams, exact answers, a dying engine."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import pytest_asyncio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.credentials import Credentials
from botocore.exceptions import EventStreamError
from running_gateways import ACCESS_KEY, ACCOUNT, OPEN_SETTINGS, SECRET_KEY

from outcrop.config import Config, Llama, Server, load
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.server.deployment import Deployment
from outcrop.server.run import serve

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SONNET = "us.anthropic.claude-sonnet-4-20250514-v1:0"
JAPANESE = "Repeat this text: 「東京タワー🗼と富士山🗻、桜🌸が大好きです。」"
LONG = "Write a very long story about a river."
TIMEOUT_S = 60


@dataclass
class Real:
    """A gateway in this process, so that its engine can be looked at."""

    url: str
    engine: LlamaEngine
    client: Any

    async def converse(self, text: str, **inference: Any) -> dict[str, Any]:
        return await asyncio.to_thread(
            self.client.converse,
            modelId=SONNET,
            messages=[{"role": "user", "content": [{"text": text}]}],
            inferenceConfig={"temperature": 0, "maxTokens": 40} | inference,
        )

    async def stream(self, text: str, **inference: Any) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            answer = self.client.converse_stream(
                modelId=SONNET,
                messages=[{"role": "user", "content": [{"text": text}]}],
                inferenceConfig={"temperature": 0, "maxTokens": 40} | inference,
            )
            return list(answer["stream"])

        return await asyncio.to_thread(read)

    async def begin(self, max_tokens: int) -> tuple[Any, Any]:
        """An open stream of InvokeModel and its first event."""
        body = {"prompt": f"\n\nHuman: {LONG}\n\nAssistant:", "max_tokens_to_sample": max_tokens}
        answer = await asyncio.to_thread(
            self.client.invoke_model_with_response_stream,
            modelId="anthropic.claude-v2",
            body=json.dumps(body),
        )
        events = iter(answer["body"])
        return answer["body"], [events, await asyncio.to_thread(next, events)]

    async def counter(self, name: str) -> float:
        return (await self.engine.metrics())[name]

    async def is_at_rest(self) -> bool:
        return not await self.counter("requests_processing")

    async def is_working(self) -> bool:
        return await self.counter("requests_processing") == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Real]:
    config = Config(
        data_dir=tmp_path_factory.mktemp("acceptance") / "data",
        cache_dir=load().cache_dir,
        server=Server(port=0),
        engines={"smollm2": Llama(model="smollm2-135m-instruct", context=2048, slots=2, threads=1)},
        **OPEN_SETTINGS,
    )
    ready: asyncio.Future[tuple[str, Deployment]] = asyncio.get_running_loop().create_future()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTCROP_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("OUTCROP_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("OUTCROP_ACCOUNT_ID", ACCOUNT)
        running = asyncio.create_task(
            serve(config, lambda url, deployment: ready.set_result((url, deployment)))
        )
        url, deployment = await ready
    engine: Any = await deployment.engines.get("smollm2", None)
    yield Real(url, engine, client_of(url))
    running.cancel()
    await asyncio.wait((running,))


def client_of(url: str) -> Any:
    # boto3 has no stubs of its own.
    return boto3.client(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=ClientConfig(retries={"total_max_attempts": 1}, read_timeout=TIMEOUT_S),
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        # Another process decides when: it can only be asked again.
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def signed(url: str, max_tokens: int) -> bytes:
    """The bytes of an InvokeModel request."""
    body = {"prompt": f"\n\nHuman: {LONG}\n\nAssistant:", "max_tokens_to_sample": max_tokens}
    data = json.dumps(body)
    place = f"{url}/model/anthropic.claude-v2/invoke"
    request = AWSRequest("POST", place, {"host": urlsplit(url).netloc}, data)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", "us-east-1").add_auth(request)
    headers = {str(name): str(value) for name, value in request.headers.items()}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = ["POST /model/anthropic.claude-v2/invoke HTTP/1.1", *lines]
    return "\r\n".join([*head, f"content-length: {len(data)}", "", data]).encode()


def text_of(answer: dict[str, Any]) -> str:
    return "".join(block["text"] for block in answer["output"]["message"]["content"])


def deltas_of(events: list[dict[str, Any]]) -> list[str]:
    return [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]


async def test_the_first_chunk_comes_while_the_engine_works_and_closing_ends_the_work(
    real: Real,
) -> None:
    await real.converse("hello", maxTokens=1)
    before = await real.counter("tokens_predicted_total")
    body, (_, first) = await real.begin(1000)
    assert json.loads(first["chunk"]["bytes"])["completion"]
    assert await real.is_working()
    body.close()
    await until(real.is_at_rest)
    assert await real.counter("tokens_predicted_total") - before < 500


async def test_a_client_that_leaves_an_answer_in_one_piece_ends_the_work(real: Real) -> None:
    before = await real.counter("tokens_predicted_total")
    place = urlsplit(real.url)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(signed(real.url, 1000))
    await until(real.is_working)
    writer.transport.abort()
    await until(real.is_at_rest)
    assert await real.counter("tokens_predicted_total") - before < 800


async def test_an_engine_killed_midway_ends_the_stream_and_serves_the_next(real: Real) -> None:
    body, (events, _) = await real.begin(1500)
    pid = real.engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with closing(body), pytest.raises(EventStreamError) as caught:
        await asyncio.to_thread(list, events)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "modelStreamErrorException"
    assert text_of(await real.converse("hello"))
    assert real.engine.pid not in (None, pid)


async def test_temperature_zero_repeats_and_streams_the_same(real: Real) -> None:
    first = await real.converse(LONG)
    again = await real.converse(LONG)
    events = await real.stream(LONG)
    assert text_of(first) == text_of(again) == "".join(deltas_of(events))
    assert first["usage"] == again["usage"]
    metadata = events[-1]["metadata"]["usage"]
    for name in ("inputTokens", "outputTokens", "totalTokens"):
        assert metadata[name] == first["usage"][name]


@pytest.mark.parametrize("text", ["hello", JAPANESE, "a" * 500, "<|im_end|> 🙂‍↔️"])
async def test_tokens_are_counted_by_the_engines_tokenizer(real: Real, text: str) -> None:
    messages = [{"role": "user", "content": [{"text": text}]}]
    counted = await asyncio.to_thread(
        real.client.count_tokens, modelId=SONNET[3:], input={"converse": {"messages": messages}}
    )
    answer = await real.converse(text, maxTokens=1)
    assert counted["inputTokens"] == answer["usage"]["inputTokens"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(real: Real) -> str:
    """What the model says to the Japanese text: most characters are several tokens."""
    text = text_of(await real.converse(JAPANESE, maxTokens=40))
    assert sum(not one.isascii() for one in text) > 5
    return text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21])
async def test_the_length_is_exact_and_no_character_is_split(
    real: Real, whole: str, size: int
) -> None:
    answer = await real.converse(JAPANESE, maxTokens=size)
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", size)
    text = text_of(answer) if answer["output"]["message"]["content"] else ""
    assert whole.startswith(text)
    deltas = deltas_of(await real.stream(JAPANESE, maxTokens=size))
    assert "".join(deltas) == text
    assert not any("\ufffd" in each for each in deltas)


async def test_stop_sequences_of_many_bytes_end_exactly_before_them(real: Real, whole: str) -> None:
    starts = [at for at in range(1, len(whole) - 2) if not whole[at : at + 2].isascii()]
    for at in (starts[0], starts[len(starts) // 2], starts[-1]):
        stop = whole[at : at + 2]
        answer = await real.converse(JAPANESE, maxTokens=40, stopSequences=[stop])
        assert answer["stopReason"] == "stop_sequence"
        assert text_of(answer) == whole[: whole.index(stop)]
        events = await real.stream(JAPANESE, maxTokens=40, stopSequences=[stop])
        assert "".join(deltas_of(events)) == text_of(answer)
