"""AdamW over the adapter's parameters, and both as bytes for a checkpoint."""

from collections.abc import Mapping
from typing import Any, Final

from outcrop.training.libraries import Libraries
from outcrop.training.world import World

_MOST_NORM: Final = 1.0
_STATE: Final = ("exp_avg", "exp_avg_sq")


class Optimizer:
    def __init__(self, parameters: Mapping[str, Any], libraries: Libraries) -> None:
        self._torch, self._tensors = libraries.torch, libraries.tensors
        self._parameters = parameters
        self._adam = self._torch.optim.AdamW(list(parameters.values()), lr=0.0, weight_decay=0.0)

    def clear(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    def step(self, rate: float, world: World) -> None:
        """``rate`` is the learning rate of this step."""
        torch, parameters = self._torch, list(self._parameters.values())
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if world.size > 1:
            self._share(world)
        torch.nn.utils.clip_grad_norm_(parameters, _MOST_NORM)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()

    def dump(self) -> bytes:
        tensors = dict[str, Any]()
        for name, parameter in self._parameters.items():
            tensors[f"adapter {name}"] = parameter.detach().cpu()
            state = self._adam.state.get(parameter, {})
            tensors.update({f"{key} {name}": state[key].cpu() for key in _STATE if key in state})
        return self._tensors.save(tensors)

    def load(self, dumped: bytes, steps: int) -> None:
        """``steps`` were done when it was dumped."""
        tensors = self._tensors.load(dumped)
        for name, parameter in self._parameters.items():
            parameter.data.copy_(tensors[f"adapter {name}"])
            if not steps:
                continue
            state = {key: tensors[f"{key} {name}"].to(parameter.device) for key in _STATE}
            self._adam.state[parameter] = {"step": self._torch.tensor(float(steps)), **state}

    def _share(self, world: World) -> None:
        """All workers' gradients in one message."""
        gradients = [parameter.grad for parameter in self._parameters.values()]
        flat = self._torch.cat([one.reshape(-1) for one in gradients])
        world.all_reduce(flat)
        start = 0
        for one in gradients:
            one.copy_(flat[start : start + one.numel()].view_as(one))
            start += one.numel()
