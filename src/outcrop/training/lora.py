"""The adapter: PEFT's LoRA on every linear layer, with the same numbers computed in fewer steps.

PEFT makes, names and saves the adapter, so that whoever loads it there has what was trained here.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from outcrop.training.bases import BaseBroken
from outcrop.training.libraries import Libraries
from outcrop.training.spec import PEFT_CONFIG, PEFT_WEIGHTS, Settings

_NAME: Final = "default"


class Adapter:
    """``model`` is the base with the adapter in it."""

    def __init__(self, model: Any, libraries: Libraries) -> None:
        self.model = model
        self._libraries = libraries
        self.parameters: dict[str, Any] = {
            name: parameter for name, parameter in model.named_parameters() if _is_learnt(parameter)
        }

    @property
    def base(self) -> Any:
        return self.model.get_base_model()

    def files(self, base_name: str) -> Mapping[str, bytes]:
        """As PEFT saves them, without a file: plain weights stay in memory. The base's name stands
        in place of where it lay here."""
        # Told nothing of embeddings, it would ask the hub whether the vocabulary grew.
        tensors = self._libraries.peft.get_peft_model_state_dict(
            self.model, adapter_name=_NAME, save_embedding_layers=False
        )
        config = self.model.peft_config[_NAME].to_dict()
        config |= {"base_model_name_or_path": base_name, "inference_mode": True}
        return {
            PEFT_CONFIG: msgspec.json.format(msgspec.json.encode(config, order="deterministic")),
            PEFT_WEIGHTS: self._libraries.tensors.save(tensors, metadata={"format": "pt"}),
        }


def attach(base: Any, settings: Settings, libraries: Libraries) -> Adapter:
    """A new adapter, which follows from the seed. It computes nothing yet: its second half is
    zero. Raises BaseBroken."""
    libraries.torch.manual_seed(settings.seed)
    _end_dropout(base, libraries)
    config = libraries.peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        model = libraries.peft.get_peft_model(base, config)
    except (ValueError, TypeError) as error:
        raise BaseBroken(f"PEFT has no LoRA for this base: {error}") from error
    model.train()
    _hasten(model, libraries)
    return Adapter(model, libraries)


def _end_dropout(base: Any, libraries: Libraries) -> None:
    """What the base's configuration says of dropout was for its makers' training: the adapter
    learns what the base computes when it answers, and a step follows from the seed alone."""
    for module in base.modules():
        settings: dict[str, Any] = module.__dict__
        is_layer = isinstance(module, libraries.torch.nn.Dropout)
        for name, value in settings.items():
            if isinstance(value, float) and ("dropout" in name or (is_layer and name == "p")):
                settings[name] = 0.0


def _is_learnt(parameter: Any) -> bool:
    return bool(parameter.requires_grad)


def _hasten(model: Any, libraries: Libraries) -> None:
    """Every layer whose base is plainly linear is computed by ``_product``."""
    linear = libraries.torch.nn.Linear
    for layer in model.modules():
        if (
            isinstance(layer, libraries.peft.tuners.lora.Linear)
            and type(layer.base_layer) is linear
        ):
            layer.forward = _forward_of(layer, libraries)


def _forward_of(layer: Any, libraries: Libraries) -> Any:
    product = _product(libraries)
    base, scale = layer.base_layer, float(layer.scaling[_NAME])
    down, up = layer.lora_A[_NAME], layer.lora_B[_NAME]

    def forward(x: Any) -> Any:
        return product.apply(x, base.weight, base.bias, down.weight, up.weight, scale)

    return forward


@cache
def _product(libraries: Libraries) -> Any:
    """``x W' + b + s (x A') B'`` and its derivatives by x, A and B: the base does not learn. PEFT
    adds and scales whole activations, which takes longer than to multiply them."""

    class Product(libraries.torch.autograd.Function):
        @staticmethod
        def forward(
            context: Any, x: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float
        ) -> Any:
            rows = x.reshape(-1, x.shape[-1])
            down, up = down.to(rows.dtype), (up * scale).to(rows.dtype)
            inner = rows @ down.t()
            out = libraries.torch.nn.functional.linear(rows, weight, bias).addmm_(inner, up.t())
            context.save_for_backward(rows, inner, weight, down, up)
            context.shape, context.scale = x.shape, scale
            return out.view(*x.shape[:-1], -1)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            rows, inner, weight, down, up = context.saved_tensors
            gradient = gradient.reshape(-1, gradient.shape[-1])
            at_inner = gradient @ up
            by_down = (at_inner.t() @ rows).float()
            by_up = (gradient.t() @ inner).float() * context.scale
            by_x = None
            if context.needs_input_grad[0]:
                by_x = (gradient @ weight).addmm_(at_inner, down).view(context.shape)
            return by_x, None, None, by_down, by_up, None

    return Product
