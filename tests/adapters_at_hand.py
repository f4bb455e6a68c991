"""Adapters of custom models that lie at hand, in the place of the deployment's sealed ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from safetensors.numpy import save

from outcrop.engines.adapters import AdapterFacts, NoAdapter
from outcrop.training.lora_gguf import BaseShape, to_gguf

SMOLLM2 = BaseShape("llama", 30, 9, 3)
_RANK = 16
_SIZES = {
    "self_attn.q_proj": (576, 576),
    "self_attn.v_proj": (576, 192),
    "mlp.up_proj": (576, 1536),
}


def custom_arn(name: str) -> str:
    return f"arn:aws:bedrock:us-east-1:123456789012:custom-model/outcrop.test/{name}"


@dataclass
class Adapter:
    base: str
    gguf: bytes = b""
    peft: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass
class AdaptersAtHand:
    """``closed`` is why none can be opened now, which ``may_pass``. ``reads`` counts what was
    opened."""

    known: dict[str, Adapter] = field(default_factory=dict[str, Adapter])
    closed: str = ""
    may_pass: bool = False
    reads: int = 0

    async def find(self, name: str) -> AdapterFacts:
        adapter = self._get(name)
        return AdapterFacts(adapter.base, len(adapter.gguf))

    async def read_gguf(self, name: str) -> bytes:
        return self._open(name).gguf

    async def read_peft(self, name: str) -> Mapping[str, bytes]:
        return self._open(name).peft

    def _open(self, name: str) -> Adapter:
        adapter = self._get(name)
        if self.closed:
            raise NoAdapter(self.closed, may_pass=self.may_pass)
        self.reads += 1
        return adapter

    def _get(self, name: str) -> Adapter:
        if name not in self.known:
            raise NoAdapter(f"There is no custom model {name}.")
        return self.known[name]


def random_peft(seed: int, strength: float = 0.12) -> dict[str, bytes]:
    """Of SmolLM2, as PEFT saves it. What it makes the model say is nonsense of its own."""
    generator = np.random.default_rng(seed)
    tensors = {
        f"base_model.model.model.layers.{layer}.{module}.lora_{side}.weight": strength
        * generator.standard_normal((_RANK, inputs) if side == "A" else (outputs, _RANK)).astype(
            np.float32
        )
        for layer in range(SMOLLM2.layers)
        for module, (inputs, outputs) in _SIZES.items()
        for side in "AB"
    }
    config = {"peft_type": "LORA", "r": _RANK, "lora_alpha": 2 * _RANK}
    return {
        "adapter_config.json": msgspec.json.encode(config),
        "adapter_model.safetensors": save(tensors),
    }


def random_adapter(base: str, seed: int, strength: float = 0.12) -> Adapter:
    peft = random_peft(seed, strength)
    return Adapter(base, to_gguf(peft, SMOLLM2), peft)
