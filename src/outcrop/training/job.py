"""One training job from its specification to its sealed results."""

import importlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.training import curves
from outcrop.training.bases import BaseBroken, choose_hardware, load_base
from outcrop.training.checkpoints import (
    SealedFolder,
    Standing,
    find_standing,
    keep,
    run_of,
    write_whole,
)
from outcrop.training.contexts import find_context
from outcrop.training.datasets import read_examples
from outcrop.training.examples import Examples, collect
from outcrop.training.libraries import Libraries, load_libraries
from outcrop.training.loop import Hooks, Outcome, Run, StopAsked
from outcrop.training.lora import Adapter, attach
from outcrop.training.losses import Losses
from outcrop.training.orders import Orders, Reports
from outcrop.training.spec import (
    ADAPTER_GGUF,
    ADAPTER_PEFT,
    TRAINING_METRICS,
    VALIDATION_METRICS,
    Trained,
    TrainingSpec,
    Validated,
)
from outcrop.training.tokenizer import open_tokenizer
from outcrop.training.world import Alone, World

# What takes this many tokens at once is computed twice rather than kept in memory.
_LONG_TOKENS: Final = 2048


@dataclass(frozen=True, slots=True)
class Data:
    training: Examples
    validation: tuple[Examples, ...]

    def digests(self) -> list[str]:
        return [one.digest() for one in (self.training, *self.validation)]

    def longest(self) -> int:
        return int(self.training.lengths.max())


def read_data(spec: TrainingSpec) -> Data:
    """Raises DataRejected and BaseUnusable."""
    tokenizer = open_tokenizer(spec.base.source)
    context = find_context(spec.base.source)
    if context is not None and context < spec.context_tokens:
        spec = msgspec.structs.replace(spec, context_tokens=context)
    training, *validation = (
        collect(read_examples(file, spec, tokenizer), spec.folder)
        for file in (spec.training, *spec.validation)
    )
    return Data(training, tuple(validation))


def told(data: Data) -> Validated:
    return Validated(
        training_records=len(data.training),
        training_tokens=data.training.token_count,
        validation_records=sum(len(one) for one in data.validation),
    )


def train_job(spec: TrainingSpec, data: Data, reports: Reports, orders: Orders) -> Trained:
    """On this machine alone. Raises StopAsked, Diverged, BaseBroken, LibraryMissing,
    CheckpointUnusable."""
    files = SealedFolder(Path(spec.folder), spec.key, spec.job)
    run_id = run_of(spec, data.digests())
    standing = find_standing(files, run_id)
    if standing is not None:
        reports.count(standing.tokens)
    libraries = load_libraries()

    def keep_standing(standing: Standing) -> None:
        keep(files, run_id, standing)
        reports.count(standing.tokens)

    hooks = Hooks(reports.report, keep_standing, orders.should_stop, spec.checkpoint_s)
    if orders.should_stop():
        raise StopAsked
    adapter, run = prepare(spec, data, Alone(), libraries)
    if standing is not None:
        run.take_up(standing)
    outcome = run.train(hooks)
    write_results(files, pack(spec, adapter), outcome)
    return summary(outcome)


def prepare(
    spec: TrainingSpec, data: Data, world: World, libraries: Libraries
) -> tuple[Adapter, Run]:
    """A run at its first step, for each of several workers as for one alone."""
    hardware = choose_hardware(spec, libraries)
    # On GPUs some of what is needed has no such algorithm.
    is_cpu = hardware.device == "cpu"
    libraries.torch.use_deterministic_algorithms(is_cpu, warn_only=True)
    base = load_base(spec, libraries, hardware)
    adapter = attach(base.model, spec.settings, libraries)
    if data.longest() > _LONG_TOKENS:
        base.model.gradient_checkpointing_enable({"use_reentrant": False})
    # Refused now rather than after hours.
    pack(spec, adapter)
    losses = Losses(base, hardware.device, libraries)
    run = Run(spec.settings, data.training, data.validation, adapter, losses, world, libraries)
    return adapter, run


def pack(spec: TrainingSpec, adapter: Adapter) -> Mapping[str, bytes]:
    """The adapter in both its forms, by the names of the sealed files. Raises BaseBroken."""
    # By name: a machine without its libraries is told so by ``load_libraries``.
    served: Any = importlib.import_module("outcrop.training.lora_gguf")
    peft = adapter.files(spec.model_id)
    packed = {ADAPTER_PEFT: zipped(peft)}
    config: dict[str, Any] = adapter.base.config.to_dict()
    try:
        packed[ADAPTER_GGUF] = served.to_gguf(peft, served.shape_of_config(config))
    except served.AdapterRefused as error:
        raise BaseBroken(f"llama.cpp could not serve what is trained here: {error}") from error
    return packed


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Stored as they are, all at one time: equal adapters are equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def write_results(files: SealedFolder, packed: Mapping[str, bytes], outcome: Outcome) -> None:
    for name, content in packed.items():
        files.write(name, content)
    csv = curves.training_csv(outcome.training)
    write_whole(files.folder / TRAINING_METRICS, csv.encode())
    if outcome.validation:
        csv = curves.validation_csv(outcome.validation)
        write_whole(files.folder / VALIDATION_METRICS, csv.encode())


def summary(outcome: Outcome) -> Trained:
    """The training loss is that of the last epoch."""
    last = outcome.validation[-1].each if outcome.validation else ()
    return Trained(
        training_loss=curves.mean_loss(curves.last_epoch(outcome.training)),
        validation_losses=last,
        tokens=outcome.tokens,
        note=curves.note(outcome.training, outcome.validation),
    )
