"""The embedded engine: llama.cpp in a child process, behind the ``Engine`` protocol.

An answer is exact in tokens, not in text: ``output_tokens`` counts every token the model drew, the
one that ended the answer and those of a stop sequence included. A character the length limit cuts
in two is left out.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from outcrop.config import Llama
from outcrop.engines.budget import MemoryBudget
from outcrop.engines.fitting import Fitting
from outcrop.engines.gate import Gate
from outcrop.engines.honours import TEXT, honours
from outcrop.engines.llama.adapter import SCALES
from outcrop.engines.llama.answer import Answer
from outcrop.engines.llama.client import LlamaClient
from outcrop.engines.llama.prompt import PromptToken, cacheable, cut, prompt_tokens, token_ids
from outcrop.engines.llama.sampling import refuse_unsupported, request_body
from outcrop.engines.llama.scoring import Scorer
from outcrop.engines.llama.supervisor import Endpoint, Launch, Supervisor
from outcrop.engines.llama.weights import Model, Weights
from outcrop.engines.placement import OnDemand, Placement
from outcrop.engines.protocol import EngineFailed, EngineNotReady, InputTooLong, Unsupported
from outcrop.generation import (
    EmbeddingRequest,
    Embeddings,
    Event,
    Generation,
    Started,
    Token,
)
from outcrop.processes.affinity import bind
from outcrop.prompting.errors import (
    OutputInvalid,
    SchemaInvalid,
    SchemaUnsupported,
    TemplateError,
    ToolArgumentsInvalid,
    Unreadable,
)
from outcrop.prompting.plain import has_documents
from outcrop.prompting.templates import ChatTemplate
from outcrop.prompting.tools import Prepared, prepare

_READY_WAIT_S = 60.0
_DRAIN_S = 20.0
# Of a slot's connections one streams and one scores; the rest tokenize.
_HTTP_THREADS_PER_SLOT = 2
_HTTP_THREADS_MORE = 4
# So long the system counts what a thread did in its load.
_LOAD_S = 60.0


@dataclass(frozen=True, slots=True)
class _Prompt:
    """``tokens`` is filled only where their bytes are needed: to cut or to score them."""

    ids: tuple[int, ...]
    max_tokens: int
    tokens: tuple[PromptToken, ...] = ()
    cacheable: int = 0


class LlamaEngine:
    """``template`` names a format of ours (``chatml``); without, the model's own is used. What is
    placed to be kept is never unloaded to make room for another. With a ``fitting`` it answers with
    that adapter on its weights, whose memory it shares with others of the same file."""

    HONOURS = honours(
        TEXT,
        without=(
            "normalized_frequency_penalty",
            "image",
            "video",
            "document, pdf",
            "document, office",
            "s3Location",
            "citations",
            "reasoning, budget",
            "reasoning, effort",
        ),
        where={
            "logit_bias": "tokens of its vocabulary",
            "json_schema": "a schema that a grammar can say",
            "tools, tool": "a tool of the request",
        },
    )

    def __init__(
        self,
        name: str,
        config: Llama,
        file: Path,
        *,
        template: str | None = None,
        budget: MemoryBudget | None = None,
        placement: Placement | None = None,
        fitting: Fitting | None = None,
    ) -> None:
        self.name = name
        self._weights = Weights(name, config, file, template, fitting)
        self.served_by = self._weights.served_by
        self.last_used = 0.0
        self._config = config
        self._budget = budget
        self._placement = placement or OnDemand()
        self._threads = 0
        self._context: int | None = None
        self._scores: Scorer | None = None
        self._gate = Gate(name, running=config.slots, waiting=config.queue)
        self._supervisor = Supervisor(name, self._launch(fitting), _READY_WAIT_S)
        scales = SCALES if fitting else ()
        self._client = LlamaClient(name, self._supervisor, config.timeout_s, scales)

    @property
    def idle(self) -> bool:
        return self._gate.idle and not self._placement.kept

    @property
    def gate(self) -> Gate:
        return self._gate

    @property
    def is_loaded(self) -> bool:
        return self._supervisor.is_running

    @property
    def pid(self) -> int | None:
        """The engine process, while there is one."""
        return self._supervisor.pid

    @property
    def failure(self) -> str | None:
        """Why the process does not run, where it should."""
        return self._weights.refusal or self._supervisor.failure

    async def generate(self, generation: Generation) -> AsyncGenerator[Event]:
        async with self._gate.admit():
            self.last_used = asyncio.get_running_loop().time()
            with _prompting_errors(self.name):
                async with aclosing(self._generate(generation)) as events:
                    async for event in events:
                        yield event

    async def count_tokens(self, generation: Generation) -> int:
        async with self._gate.admit():
            self.last_used = asyncio.get_running_loop().time()
            with _prompting_errors(self.name):
                prepared = await _prepare(generation, (await self._weights.load()).template)
            return len(await token_ids(self._client, prepared.segments))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        raise Unsupported("operation", "embed", self.name)

    async def metrics(self) -> dict[str, float]:
        """The counters of the engine process itself."""
        return await self._client.metrics()

    async def endpoint(self) -> Endpoint:
        """Where the engine process itself answers, for measurements beside the gateway."""
        return await self._supervisor.endpoint()

    async def start(self) -> None:
        """Returns when the process is ready, however long it loads: requests wait less."""
        while True:
            try:
                await self._supervisor.endpoint()
            except EngineNotReady:
                if not (self._supervisor.is_starting or self._supervisor.is_running):
                    raise
            else:
                return

    async def end_token(self) -> int | None:
        """The token by which the model ends an answer."""
        return (await self._weights.load()).gguf.eos_id

    async def move(self) -> None:
        """Take up the placement, which has changed: the process is bound anew where its threads
        fit; else it ends after the requests that run, and those that come wait until it is back."""
        pid, running = self._supervisor.pid, self._supervisor.is_running
        fits = self._wanted_threads() <= self._threads <= self._placement.most_threads
        if running and pid is not None and fits:
            bind(pid, self._placement.cpus)
        elif running or self._supervisor.is_starting:
            async with self._gate.paused():
                await self.unload()

    async def unload(self) -> None:
        """End the process and give its memory back; the next request starts it again."""
        await self._supervisor.stop()
        self._context = None
        if self._budget is not None:
            self._budget.release(self)

    async def close(self) -> None:
        """Let running answers finish for a while, then end the process."""
        self._gate.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._gate.drained()
        await self.unload()
        await self._client.close()

    def _launch(self, fitting: Fitting | None) -> Launch:
        config = self._config
        return Launch(
            model=str(self._weights.file),
            context=config.context,
            slots=config.slots,
            threads=self._choose_threads,
            cpus=lambda: self._placement.bound_to,
            gpu_layers=config.gpu_layers,
            http_threads=_HTTP_THREADS_PER_SLOT * config.slots + _HTTP_THREADS_MORE,
            before=self._reserve,
            adapter=functools.partial(self._weights.read_adapter, fitting) if fitting else None,
        )

    def _choose_threads(self) -> int:
        self._threads = self._wanted_threads()
        return self._threads

    def _wanted_threads(self) -> int:
        worked = asyncio.get_running_loop().time() - self.last_used < _LOAD_S
        return self._placement.threads(self._config.threads, self._threads if worked else 0)

    async def _reserve(self) -> None:
        if self._budget is not None:
            await self._weights.reserve(self, self._budget)

    async def _generate(self, generation: Generation) -> AsyncGenerator[Event]:
        model = await self._weights.load()
        refuse_unsupported(generation, model.gguf.vocabulary_size, self.name)
        prepared = await _prepare(generation, model.template)
        prompt = await self._prompt(prepared)
        scorer = self._scorer(model)
        scored: tuple[Token, ...] = ()
        if generation.logprobs == "all":
            scored = await scorer.prompt(prompt.tokens)
        body = request_body(
            prompt.ids,
            prompt.max_tokens,
            generation.sampling,
            grammar=prepared.grammar,
            logprobs=generation.logprobs != "none",
            cached=bool(prepared.cached),
        )
        answer = Answer(prepared, prompt.ids, scorer, prompt.cacheable)
        started = False
        async with aclosing(self._client.stream(body)) as chunks:
            async for chunk in chunks:
                if not started:
                    # Not before: until the engine answers, it may still refuse the request.
                    yield Started(len(prompt.ids), scored)
                    started = True
                for event in await answer.feed(chunk):
                    yield event
                if answer.is_over:
                    return

    async def _prompt(self, prepared: Prepared) -> _Prompt:
        generation = prepared.generation
        context = await self._slot_context()
        ids = await token_ids(self._client, prepared.segments)
        room = context - 1
        limit = min(room, generation.max_input_tokens or room)
        is_long = len(ids) > limit
        if is_long and generation.truncate == "none":
            raise InputTooLong(limit, len(ids))
        tokens: list[PromptToken] = []
        if is_long or generation.logprobs == "all":
            tokens = await prompt_tokens(self._client, prepared.segments, generation.turns)
        if is_long:
            if limit == room:
                # The answer gets what it asked for, but at most half of the context.
                limit = context - max(1, min(generation.max_tokens, context // 2))
            tokens = cut(tokens, limit, generation.truncate, len(ids))
            ids = tuple(token.id for token in tokens)
        marked = await cacheable(self._client, prepared.cached, ids)
        return _Prompt(ids, min(generation.max_tokens, context - len(ids)), tuple(tokens), marked)

    async def _slot_context(self) -> int:
        if self._context is None:
            self._context = await self._client.context()
        return self._context

    def _scorer(self, model: Model) -> Scorer:
        if self._scores is None:
            filler = model.gguf.eos_id
            if filler is None:
                raise EngineFailed(f"the model of engine {self.name!r} names no end-of-text token")
            self._scores = Scorer(self._client, model.gguf.vocabulary_size, filler)
        return self._scores


async def _prepare(generation: Generation, template: ChatTemplate) -> Prepared:
    if has_documents(generation):
        return await asyncio.to_thread(prepare, generation, template)
    return prepare(generation, template)


@contextmanager
def _prompting_errors(engine: str) -> Generator[None]:
    try:
        yield
    except (SchemaInvalid, SchemaUnsupported) as error:
        raise Unsupported("schema", str(error), engine) from error
    except Unreadable as error:
        raise Unsupported(error.kind, error.form, engine) from error
    except (ToolArgumentsInvalid, OutputInvalid, TemplateError) as error:
        raise EngineFailed(f"engine {engine!r}: {error}") from error
