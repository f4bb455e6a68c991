"""One inference in progress: a generation on its engine, timed and metered.

All four inference operations go through ``start``; streaming is the only way text is made, and the
operations that answer whole fold the stream.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.engines.protocol import (
    Engine,
    EngineError,
    EngineGone,
    EngineNotReady,
    EngineTimeout,
    Unsupported,
)
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.folding import Fold
from outcrop.generation import (
    Completion,
    Event,
    Finished,
    Generation,
    Sampling,
    Started,
    Token,
)
from outcrop.quotas.estimate import estimate_tokens
from outcrop.services.bedrock_runtime.admission import Admission, Demand
from outcrop.services.bedrock_runtime.regions import in_some_region
from outcrop.services.bedrock_runtime.targets import Target
from outcrop.services.call import Call

IndexedEvent = tuple[int, Event]

_UNREAD_EVENTS = 64
"""Events that the faster of several parallel answers may be ahead of the reader."""

_NEUTRAL = Sampling()
_SAMPLERS = frozenset(Sampling.__struct_fields__)


class Run:
    """The events of ``generation.count`` answers as ``(index, event)``, in the order they come."""

    def __init__(self, engine: Engine, generation: Generation, not_honoured: list[str]) -> None:
        self._engine = engine
        self._count = generation.count
        self._not_honoured = not_honoured
        self._began = time.monotonic()
        self._events = _answers(engine, generation)
        self._first: IndexedEvent | None = None
        self._unfinished = generation.count
        self._seen = 0
        self._is_filtered = False
        self.admission: Admission | None = None
        self.first_event_ms = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0

    async def open(self) -> IndexedEvent:
        """Waits for the first event, so that what fails before it fails as an HTTP answer."""
        if self._first is None:
            try:
                self._first = await anext(self._events)
            except StopAsyncIteration:
                raise EngineGone("the engine ended without an answer") from None
            self.first_event_ms = self.elapsed_ms()
        return self._first

    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    @property
    def is_finished(self) -> bool:
        """True once the last event was read."""
        return not self._unfinished

    @property
    def headers(self) -> dict[str, str]:
        headers = {"x-outcrop-served-by": self._engine.served_by}
        if self._not_honoured:
            headers["x-outcrop-not-honoured"] = ", ".join(self._not_honoured)
        if self.admission is not None:
            headers |= self.admission.headers
        return headers

    async def events(self) -> AsyncGenerator[IndexedEvent]:
        try:
            first = await self.open()
            self._meter(*first)
            yield first
            async for indexed in self._events:
                self._meter(*indexed)
                yield indexed
        finally:
            try:
                await self._events.aclose()
            finally:
                await self._settle()
        if self._unfinished:
            raise EngineGone("the engine ended in the middle of an answer")

    async def completions(self) -> list[Completion]:
        folds = [Fold() for _ in range(self._count)]
        async for index, event in self.events():
            folds[index].feed(event)
        return [fold.completion() for fold in folds]

    def _meter(self, index: int, event: Event) -> None:
        """The prompt is counted once, however many answers it has: as the first one read it."""
        if isinstance(event, Started):
            self.input_tokens = max(self.input_tokens, event.input_tokens)
            return
        if not isinstance(event, Finished):
            self._seen += 1
            return
        self._unfinished -= 1
        self._is_filtered = self._is_filtered or event.stop == "filtered"
        self.output_tokens += event.output_tokens
        if index == 0:
            self.input_tokens = event.input_tokens
            self.cache_read_tokens = event.cache_read_tokens
            self.cache_write_tokens = event.cache_write_tokens

    async def _settle(self) -> None:
        """An answer that was left before its end has as many tokens as pieces that came; its prompt
        has what was estimated, where the engine counts it at the end."""
        admission, self.admission = self.admission, None
        if admission is None:
            return
        input, output = self.input_tokens, self.output_tokens
        if not self.is_finished:
            input, output = input or admission.demand.input_tokens, max(output, self._seen)
        self._note(admission, input, output)
        await admission.settle(input, output)

    def _note(self, admission: Admission, input_tokens: int, output_tokens: int) -> None:
        noted = admission.call.seen.invocation
        if noted is None:
            return
        noted.engine, noted.region = self._engine.served_by, admission.region
        noted.input_tokens, noted.output_tokens = input_tokens, output_tokens
        noted.cache_read_tokens = self.cache_read_tokens
        noted.cache_write_tokens = self.cache_write_tokens
        noted.is_filtered = self._is_filtered
        noted.latency_ms, noted.first_byte_ms = self.elapsed_ms(), self.first_event_ms


async def start(call: Call, target: Target, generation: Generation) -> Run:
    """Opens a run where the call may run, in the first region that has quota and capacity left."""
    demand = Demand(estimate_tokens(generation), generation.max_tokens * generation.count)

    async def run(admission: Admission) -> Run:
        opened = await _start_in(call, target, admission.region, generation)
        opened.admission = admission
        return opened

    return await in_some_region(call, target, demand, run)


async def _start_in(call: Call, target: Target, region: str, generation: Generation) -> Run:
    """On the first engine of the model that can: until its first event a run that finds its engine
    gone goes to the next zone's."""
    if target.provisioned is not None or target.is_deployed:
        # What keeps a custom model from answering says nothing of the engine of others.
        return await _start(call, await engine_in(call, target, region), generation)
    model = call.catalog.get(target.model.id, region)
    names = call.engines.by_health(engines_of(model))
    for name in names:
        try:
            engine = await get_engine(call, model, target.upstream_id, name)
            run = await _start(call, engine, generation)
        except (EngineGone, EngineNotReady, EngineTimeout) as error:
            call.engines.failed(name, str(error))
            if name == names[-1]:
                raise
        else:
            call.engines.answered(name)
            return run
    raise EngineGone("the model has no engine")


async def _start(call: Call, engine: Engine, generation: Generation) -> Run:
    """Where the deployment warns instead of refusing, a sampler the engine cannot honour is set to
    neutral and named in the answer."""
    not_honoured: list[str] = []
    for _ in range(len(_SAMPLERS) + 1):
        run = Run(engine, generation, not_honoured)
        try:
            await run.open()
        except Unsupported as error:
            if call.unsupported != "warn" or error.parameter not in _SAMPLERS:
                raise
            not_honoured.append(error.parameter)
            generation = replace(
                generation, sampling=_without(generation.sampling, error.parameter)
            )
        else:
            return run
    raise ValidationException(f"The engine honours none of {', '.join(not_honoured)}.")


async def engine_in(call: Call, target: Target, region: str) -> Engine:
    """The engine that serves ``target`` in a region."""
    if target.provisioned is not None:
        return call.serving.capacity.engine(target.resource)
    model = target.model if target.is_deployed else call.catalog.get(target.model.id, region)
    return await get_engine(call, model, target.upstream_id, engines_of(model)[0])


def engines_of(model: Model) -> tuple[str, ...]:
    """The names of the engines that serve it, the first choice first; a model without one is said
    to have none."""
    if model.engine is None:
        raise ResourceNotFoundException(
            f"No engine serves {model.id!r} in this deployment. "
            f"Bind one with: outcrop models bind '{model.id}' ENGINE"
        )
    return (model.engine, *model.standby)


async def get_engine(call: Call, model: Model, upstream_id: str, name: str) -> Engine:
    return await call.engines.get(name, model.engine_model, upstream_id, model.adapter)


def _without(sampling: Sampling, parameter: str) -> Sampling:
    return replace(sampling, **{parameter: getattr(_NEUTRAL, parameter)})


def _answers(engine: Engine, generation: Generation) -> AsyncGenerator[IndexedEvent]:
    if generation.count == 1:
        return _one(engine, generation)
    return _several(engine, generation)


async def _one(engine: Engine, generation: Generation) -> AsyncGenerator[IndexedEvent]:
    async with aclosing(engine.generate(generation)) as events:
        async for event in events:
            yield 0, event


async def _several(engine: Engine, generation: Generation) -> AsyncGenerator[IndexedEvent]:
    """All answers at once."""
    queue = asyncio.Queue[tuple[int, Event | EngineError | None]](_UNREAD_EVENTS)
    scored = asyncio.Future[tuple[Token, ...]]()

    async def produce(index: int) -> None:
        try:
            async with aclosing(_one_of_several(engine, generation, index, scored)) as events:
                async for event in events:
                    await queue.put((index, event))
            await queue.put((index, None))
        except EngineError as error:
            await queue.put((index, error))

    tasks = [asyncio.create_task(produce(index)) for index in range(generation.count)]
    try:
        running = len(tasks)
        while running:
            index, event = await queue.get()
            if event is None:
                running -= 1
            elif isinstance(event, EngineError):
                raise event
            else:
                yield index, event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one_of_several(
    engine: Engine, generation: Generation, index: int, scored: asyncio.Future[tuple[Token, ...]]
) -> AsyncGenerator[Event]:
    """With a seed, each answer has its own: seed, seed + 1, … A prompt is scored for the first
    answer only, since that may cost more than all answers do; ``scored`` tells the others."""
    seed = generation.sampling.seed
    sampling = replace(generation.sampling, seed=None if seed is None else seed + index)
    own = replace(generation, sampling=sampling)
    shares_scores = generation.logprobs == "all" and index > 0
    prompt_tokens: tuple[Token, ...] = ()
    if shares_scores:
        own = replace(own, logprobs="generation")
        # Shielded: one answer that is cancelled must not cancel what the others wait for.
        prompt_tokens = await asyncio.shield(scored)
    async with aclosing(engine.generate(own)) as events:
        async for event in events:
            if isinstance(event, Started) and shares_scores:
                event = replace(event, prompt_tokens=prompt_tokens)
            elif isinstance(event, Started) and index == 0:
                scored.set_result(event.prompt_tokens)
            yield event
    if index == 0 and not scored.done():
        raise EngineGone("the engine ended without an answer")
