"""What passes between the gateway and an engine process: one line of JSON each way."""

import msgspec


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """``context`` is tokens a slot; ``parent`` the process whose death ends the engine's. The
    process runs on ``cpus`` only, where there are any."""

    model: str
    context: int
    slots: int
    threads: int
    gpu_layers: int
    http_threads: int
    api_key: str
    parent: int
    cpus: tuple[int, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``address`` once the model is loaded, or the reason why it is not. ``adapter`` is the number
    of the descriptor that the adapter was loaded from, if there is one."""

    address: str = ""
    adapter: int | None = None
    error: str = ""
