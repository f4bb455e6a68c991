"""The answers of llama.cpp's HTTP server, as far as they are read."""

import msgspec


class Alternative(msgspec.Struct, frozen=True):
    id: int
    logprob: float
    bytes: list[int] = []


class Probability(msgspec.Struct, frozen=True):
    """``bytes`` are those of the whole character the token completed, not of the token alone."""

    id: int
    logprob: float
    bytes: list[int] = []
    top_logprobs: list[Alternative] = []


class Timings(msgspec.Struct, frozen=True):
    """``cache_n`` tokens of the prompt were not computed again."""

    cache_n: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """One event of a completion. A token that leaves a character incomplete has no event: it shows
    only in ``tokens_predicted`` of the next one."""

    content: str = ""
    tokens: list[int] = []
    stop: bool = False
    stop_type: str = ""
    tokens_predicted: int = 0
    tokens_evaluated: int = 0
    completion_probabilities: list[Probability] = []
    timings: Timings | None = None


class Piece(msgspec.Struct, frozen=True):
    id: int
    piece: str | list[int]


class Pieces(msgspec.Struct, frozen=True):
    tokens: list[Piece]


class Ids(msgspec.Struct, frozen=True):
    tokens: list[int]


class Fault(msgspec.Struct, frozen=True):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class Failure(msgspec.Struct, frozen=True):
    error: Fault


class Settings(msgspec.Struct, frozen=True):
    n_ctx: int


class Properties(msgspec.Struct, frozen=True):
    default_generation_settings: Settings
