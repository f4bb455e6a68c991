"""The loss of some examples side by side, computed at the positions that carry it and no others:
of a small model's work, its vocabulary is a fifth at every position."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from outcrop.training.bases import Base
from outcrop.training.batches import Padded
from outcrop.training.libraries import Libraries

# On a CPU plain attention beats the fused one, whose derivative is slow, while rows are short; it
# needs the square of their length in memory.
_SHORT_TOKENS: Final = 256


class Losses:
    def __init__(self, base: Base, device: str, libraries: Libraries) -> None:
        self._torch = libraries.torch
        self._base = base
        self._model = base.model
        self._device = device
        self._positions: Any = None
        self._attention = "sdpa"
        head = self._model.get_output_embeddings()
        head.register_forward_pre_hook(self._select)

    def total(self, padded: Padded) -> Any:
        """The sum over all trained tokens, as a tensor that can be derived."""
        torch = self._torch
        self._attend(padded.ids.shape[1])
        self._positions = self._tensor(padded.positions)
        mask = self._tensor(padded.mask) if padded.is_ragged else None
        logits = self._model(
            input_ids=self._tensor(padded.ids), attention_mask=mask, use_cache=False
        ).logits[0]
        return torch.nn.functional.cross_entropy(
            logits.float(), self._tensor(padded.targets), reduction="sum"
        )

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Nothing is derived within, and everything computed as exactly as the base allows."""
        with self._torch.no_grad(), self._base.exact():
            yield

    def _select(self, head: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        (hidden,) = inputs
        return (hidden.reshape(-1, hidden.shape[-1])[self._positions].unsqueeze(0),)

    def _attend(self, width: int) -> None:
        wanted = "eager" if self._device == "cpu" and width <= _SHORT_TOKENS else "sdpa"
        if wanted != self._attention:
            self._model.set_attn_implementation(wanted)
            self._attention = wanted

    def _tensor(self, values: Any) -> Any:
        return self._torch.from_numpy(values).to(self._device)
