"""An adapter on llama.cpp computes what PEFT computes with it on the same weights."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from adapters_at_hand import SMOLLM2, Adapter, AdaptersAtHand, custom_arn
from llama_asking import CONTEXT, MODEL, ask, asking
from numpy.typing import NDArray

from outcrop.config import Llama, load
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.engines.pool import EnginePool
from outcrop.training.lora_gguf import shape_of_config, to_gguf

pytestmark = pytest.mark.engine

_TEXTS = (
    "The harbour of Veldt lies between two hills, and its fishermen sail before dawn.",
    "def add(a, b): return a + b",
    "Quoi de neuf aujourd'hui, mon cher ami?",
)
_ARN = custom_arn("compared")
# llama.cpp reads its 4-bit weights with 8-bit activations: so far apart they are without adapters
# too, by half of this. A mistake in the adapter shows several times over.
_CLOSE = 0.15

Scored = list[tuple[list[int], dict[int, float]]]


class Reference:
    """The base's weights as Transformers has them, and a random adapter of PEFT's on them."""

    def __init__(self, file: Path) -> None:
        # As ``Any``, and late: they are large, and only partly typed.
        peft, torch, transformers = (
            cast("Any", import_module(name)) for name in ("peft", "torch", "transformers")
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._torch = torch
            torch.set_num_threads(1)
            torch.manual_seed(5)
            model = transformers.AutoModelForCausalLM
            base = model.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            self.shape = shape_of_config(base.config.to_dict())
            config = peft.LoraConfig(
                r=8,
                lora_alpha=6,
                use_rslora=True,
                target_modules="all-linear",
                init_lora_weights=False,
            )
            self._model: Any = peft.get_peft_model(base, config).eval()
        # So that mistakes in what steers attention show beside all the rest.
        for name, weights in self._model.named_parameters():
            if "q_proj.lora_B" in name or "k_proj.lora_B" in name:
                weights.data *= 2.5

    def save(self, folder: Path) -> dict[str, bytes]:
        # Told nothing of embeddings, it would ask the hub whether the vocabulary grew.
        self._model.save_pretrained(folder, save_embedding_layers=False)
        names = ("adapter_config.json", "adapter_model.safetensors")
        return {name: (folder / name).read_bytes() for name in names}

    def logprobs(self, ids: list[int]) -> NDArray[np.float32]:
        """Of each token after those before it: the first row is that of the second token."""
        with self._torch.no_grad():
            logits = self._model(self._torch.tensor([ids])).logits[0]
            return self._torch.log_softmax(logits, -1).numpy()

    def logprobs_of_base(self, ids: list[int]) -> NDArray[np.float32]:
        with self._model.disable_adapter():
            return self.logprobs(ids)


@pytest.fixture(scope="module")
def reference(model_file: Path) -> Reference:
    return Reference(model_file)


@pytest.fixture(scope="module")
def peft(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return reference.save(tmp_path_factory.mktemp("peft"))


async def scored(gguf: bytes | None) -> Scored:
    """Each text's tokens, and the log-probabilities of those that llama.cpp scores."""
    config = Llama(model=MODEL, context=CONTEXT, slots=1, threads=1)
    adapters = AdaptersAtHand()
    pool = EnginePool(
        {"it": config}, cache_dir=load().cache_dir, memory_mib=1024, adapters=adapters
    )
    try:
        if gguf is not None:
            adapters.known[_ARN] = Adapter(pool.fingerprint("it"), gguf)
        engine = await pool.get("it", None, None, None if gguf is None else _ARN)
        assert isinstance(engine, LlamaEngine)
        return [await _scored(engine, text) for text in _TEXTS]
    finally:
        await pool.close()


async def _scored(engine: LlamaEngine, text: str) -> tuple[list[int], dict[int, float]]:
    answer = await ask(engine, asking(text, 8, logprobs="all"))
    tokens = [*answer.started.prompt_tokens, *answer.tokens]
    found = {index: one.logprob for index, one in enumerate(tokens) if one.logprob is not None}
    ids = [one.id for one in tokens]
    assert len(found) > 8
    return ids, found


def apart(found: Scored, computed: Any) -> float:
    """How far the log-probabilities are apart in the mean."""
    differences: list[float] = []
    for ids, logprobs in found:
        table = computed(ids)
        differences += [abs(one - table[at - 1][ids[at]]) for at, one in logprobs.items()]
    return float(np.mean(differences))


async def test_the_adapter_acts_as_in_peft(reference: Reference, peft: Mapping[str, bytes]) -> None:
    assert reference.shape == SMOLLM2
    base = await scored(None)
    found = await scored(to_gguf(peft, reference.shape))
    assert apart(base, reference.logprobs_of_base) < _CLOSE
    assert apart(found, reference.logprobs) < _CLOSE
    # What the adapter changes is far more than that.
    assert apart(found, reference.logprobs_of_base) > 10 * _CLOSE


@pytest.mark.parametrize(
    ("heads", "kv_heads", "permuted"),
    [(9, 1, True), (3, 3, True), (9, 3, False)],
    ids=["keys", "queries", "neither permuted"],
)
async def test_rows_of_queries_or_keys_that_lie_wrong_would_be_seen(
    reference: Reference,
    peft: Mapping[str, bytes],
    heads: int,
    kv_heads: int,
    permuted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not permuted:
        monkeypatch.setattr("outcrop.training.lora_gguf._PERMUTED", frozenset[object]())
    shape = replace(reference.shape, heads=heads, kv_heads=kv_heads)
    found = await scored(to_gguf(peft, shape))
    assert apart(found, reference.logprobs) > 3 * _CLOSE
