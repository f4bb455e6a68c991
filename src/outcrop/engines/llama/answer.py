"""One answer while it arrives: chunks of the engine in, events out."""

from collections.abc import Sequence

from msgspec.structs import replace

from outcrop.engines.llama.messages import Chunk
from outcrop.engines.llama.scoring import Scorer
from outcrop.engines.protocol import EngineFailed
from outcrop.engines.stops import StopFilter
from outcrop.generation import Event, Finished, Stop, Token
from outcrop.prompting.tools import Prepared

_STOPS: dict[str, Stop] = {"eos": "end", "limit": "length"}


class Answer:
    """``is_over`` once the last event came out, be it before the engine's own end.

    ``cacheable`` tokens of the prompt end at its last cache point. Of them those count as read that
    the engine did not compute again, however few (AWS's least lengths are of its models, not of an
    engine); of what it did compute, those count as written, since its slot keeps them."""

    def __init__(
        self, prepared: Prepared, prompt: Sequence[int], scorer: Scorer, cacheable: int = 0
    ) -> None:
        generation = prepared.generation
        self._reader = prepared.reader()
        self._stops = StopFilter(generation.stop_sequences)
        self._scorer = scorer if generation.logprobs != "none" else None
        self._is_empty = generation.max_tokens == 0
        self._input_tokens = len(prompt)
        self._ids = list(prompt)
        self._cacheable = cacheable
        self._cache_read = 0
        self._output_tokens = 0
        self.is_over = False

    async def feed(self, chunk: Chunk) -> list[Event]:
        """Raises what ``Reader`` raises."""
        if chunk.timings is not None:
            self._cache_read = min(chunk.timings.cache_n, self._cacheable)
        if self._is_empty:
            # The engine draws one token at least; nobody asked for it.
            return self._finish("length")
        if chunk.stop:
            return self._end(chunk)
        unreported = chunk.tokens_predicted - self._output_tokens - 1
        self._output_tokens = chunk.tokens_predicted
        tokens: Sequence[Token] = ()
        if self._scorer is not None and chunk.content:
            tokens = await self._scorer.answer(chunk, self._ids, unreported)
            self._ids += [token.id for token in tokens]
        elif self._scorer is not None:
            self._ids += chunk.tokens
        text, released, matched = self._stops.feed(chunk.content, tokens)
        events = self._read(text, released)
        return events if matched is None else events + self._finish("stop_sequence", matched)

    def _end(self, chunk: Chunk) -> list[Event]:
        if chunk.stop_type not in _STOPS:
            raise EngineFailed(f"the engine stopped for a reason unknown here: {chunk.stop_type!r}")
        self._output_tokens = chunk.tokens_predicted
        events = self._read(*self._stops.flush())
        return events + self._finish(_STOPS[chunk.stop_type])

    def _read(self, text: str, tokens: tuple[Token, ...]) -> list[Event]:
        if not text and not tokens:
            return []
        return self._reader.feed(text, self._output_tokens, tokens)

    def _finish(self, stop: Stop, matched: str | None = None) -> list[Event]:
        self.is_over = True
        rest = self._input_tokens - self._cacheable
        events = self._reader.finish(stop, rest, self._output_tokens, matched)
        return [self._with_cache(one) if isinstance(one, Finished) else one for one in events]

    def _with_cache(self, finished: Finished) -> Finished:
        return replace(
            finished,
            cache_read_tokens=self._cache_read,
            cache_write_tokens=self._cacheable - self._cache_read,
        )
