"""Adapters: what custom models add to their bases' weights. Kept elsewhere, used by engines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class NoAdapter(Exception):
    """There is none of this name, or it cannot be opened; the text says why. ``may_pass``: asked
    later, it may be opened."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """``base`` is the fingerprint of the weights it was trained on, and works with alone: of a
    model file, or the name that an OpenAI-compatible server has for them."""

    base: str
    size_bytes: int


class Adapters(Protocol):
    """By the ARN of the custom model. What is read is plain: it goes to memory, or for a server of
    its own to the folder that is configured for that (``lora_dir``)."""

    async def find(self, name: str) -> AdapterFacts:
        """Raises ``NoAdapter``."""
        ...

    async def read_gguf(self, name: str) -> bytes:
        """For llama.cpp. Raises ``NoAdapter``."""
        ...

    async def read_peft(self, name: str) -> Mapping[str, bytes]:
        """Files by name, for servers that take LoRA as PEFT saves it. Raises ``NoAdapter``."""
        ...
