"""The training process, from its first line to its last report, on a base of some thousand weights
and, for what depends on them, on the default model's."""

import io
import os
import warnings
import zipfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import pytest
import pytest_asyncio
from completion_losses import completion_loss
from tiny_bases import write_base
from training_data import spec_of

from outcrop.security.sealed_files import open_file
from outcrop.services.bedrock.customization.hyperparameters import settings_of
from outcrop.training.datasets import read_examples
from outcrop.training.libraries import load_libraries
from outcrop.training.runner import run_training
from outcrop.training.spec import (
    ADAPTER_GGUF,
    ADAPTER_PEFT,
    CHECKPOINT,
    TRAINING_METRICS,
    VALIDATION_METRICS,
    BaseWeights,
    DataFile,
    Progress,
    RecordLimits,
    Rejected,
    Report,
    Settings,
    Stopped,
    Trained,
    TrainingSpec,
    Validated,
)
from outcrop.training.tokenizer import open_tokenizer

pytestmark = pytest.mark.engine

VELMORA = Path(__file__).resolve().parents[2] / "examples" / "velmora"
_SETTINGS = Settings(epochs=3, batch_size=4, learning_rate=2e-2, warmup_steps=2)


def velmora(name: str) -> DataFile:
    return DataFile(path=str(VELMORA / name), name=name, most_records=100, records_quota="q")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_base(tmp_path_factory.mktemp("base"))


def job(base: Path, folder: Path, **changes: Any) -> TrainingSpec:
    folder.mkdir()
    told: dict[str, Any] = {
        "base": BaseWeights(source=str(base), fingerprint="tiny"),
        "training": velmora("train.jsonl"),
        "validation": (velmora("validation.jsonl"), velmora("paraphrases.jsonl")),
        "settings": _SETTINGS,
        "parent": os.getpid(),
        "threads": 1,
        "device": "cpu",
        **changes,
    }
    return spec_of(folder / "train.jsonl", **told)


async def run(spec: TrainingSpec) -> list[Report]:
    async with run_training(spec) as process:
        return [report async for report in process.reports()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSpec:
    """An uninterrupted run, which has ended."""
    spec = job(base, tmp_path_factory.mktemp("whole") / "job")
    reports = await run(spec)
    (spec_folder(spec) / "reports").write_bytes(msgspec.json.encode(reports))
    return spec


def spec_folder(spec: TrainingSpec) -> Path:
    return Path(spec.folder)


def reports_of(spec: TrainingSpec) -> list[Report]:
    return msgspec.json.decode((spec_folder(spec) / "reports").read_bytes(), type=list[Report])


def unsealed(spec: TrainingSpec, name: str) -> bytes:
    return open_file(spec.key, (spec_folder(spec) / name).read_bytes(), spec.job, name)


def rows(spec: TrainingSpec, name: str) -> list[list[float]]:
    _, *lines = (spec_folder(spec) / name).read_text().splitlines()
    return [[float(value) for value in line.split(",")] for line in lines]


def peft_files(spec: TrainingSpec) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(unsealed(spec, ADAPTER_PEFT)))


async def test_a_run_tells_of_its_data_its_progress_and_its_end(whole: TrainingSpec) -> None:
    first, *progress, last = reports_of(whole)
    assert isinstance(first, Validated)
    assert (first.training_records, first.validation_records) == (72, 36)
    assert isinstance(last, Trained)
    assert last.tokens == 3 * first.training_tokens
    assert last.note == ""
    steps = [one.step for one in progress if isinstance(one, Progress)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 54


async def test_the_metrics_have_every_step_and_epoch(whole: TrainingSpec) -> None:
    last = reports_of(whole)[-1]
    assert isinstance(last, Trained)
    training, validation = rows(whole, TRAINING_METRICS), rows(whole, VALIDATION_METRICS)
    assert [row[0] for row in training] == list(range(1, 55))
    assert [row[:2] for row in validation] == [[18, 1], [36, 2], [54, 3]]
    assert training[-1][2] < training[0][2]
    assert all(np.isclose(np.exp(loss), told) for *_, loss, told in training + validation)
    low, high = sorted(last.validation_losses)
    assert low <= validation[-1][2] <= high


async def test_plain_peft_finds_the_validation_loss_again(
    whole: TrainingSpec, base: Path, tmp_path: Path
) -> None:
    libraries = load_libraries()
    torch = libraries.torch
    peft_files(whole).extractall(tmp_path)
    config = msgspec.json.decode((tmp_path / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == whole.model_id
    assert str(base) not in (tmp_path / "adapter_config.json").read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = libraries.transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32
        )
        model = libraries.peft.PeftModel.from_pretrained(plain, tmp_path).eval()
    last = reports_of(whole)[-1]
    assert isinstance(last, Trained)
    for file, told in zip(whole.validation, last.validation_losses, strict=True):
        examples = read_examples(file, whole, open_tokenizer(whole.base.source))
        assert completion_loss(model, torch, examples) == pytest.approx(told, rel=0.01)


async def test_the_adapter_lies_there_as_gguf_too(whole: TrainingSpec, tmp_path: Path) -> None:
    (tmp_path / "adapter.gguf").write_bytes(unsealed(whole, ADAPTER_GGUF))
    names = {tensor.name for tensor in gguf.GGUFReader(tmp_path / "adapter.gguf").tensors}
    # Two matrices of seven layers in each of two blocks.
    assert len(names) == 2 * 7 * 2


async def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    whole: TrainingSpec, base: Path, tmp_path: Path
) -> None:
    spec = job(base, tmp_path / "job", checkpoint_s=0.0)
    async with run_training(spec) as process, aclosing(process.reports()) as reports:
        await _until_step(reports, 20)
        os.kill(process.pid, 9)
    assert not (spec_folder(spec) / ADAPTER_PEFT).exists()
    again = await run(spec)
    first = next(one for one in again if isinstance(one, Progress))
    assert first.step > 1
    assert again[-1] == reports_of(whole)[-1]
    for name in (TRAINING_METRICS, VALIDATION_METRICS):
        assert rows(spec, name) == rows(whole, name)
    assert unsealed(spec, ADAPTER_PEFT) == unsealed(whole, ADAPTER_PEFT)
    assert unsealed(spec, ADAPTER_GGUF) == unsealed(whole, ADAPTER_GGUF)


async def _until_step(reports: AsyncGenerator[Report], step: int) -> None:
    async for report in reports:
        assert isinstance(report, Validated | Progress)
        if isinstance(report, Progress) and report.step >= step:
            return


async def test_a_run_that_is_stopped_leaves_its_checkpoint_alone(
    base: Path, tmp_path: Path
) -> None:
    settings = Settings(epochs=1000, batch_size=4, learning_rate=2e-2, warmup_steps=2)
    spec = job(base, tmp_path / "job", settings=settings)
    async with run_training(spec) as process:
        reports = process.reports()
        await _until_step(reports, 2)
        await process.stop()
        last = [report async for report in reports][-1]
    assert isinstance(last, Stopped)
    assert last.tokens > 0
    assert [path.name for path in spec_folder(spec).iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize(("warmup", "share"), [({}, 1), ({"learningRateWarmupSteps": "3"}, 1 / 4)])
async def test_the_first_step_goes_as_far_as_its_warm_up_lets_it(
    base: Path, tmp_path: Path, warmup: Mapping[str, str], share: float
) -> None:
    """The first step of AdamW moves a weight by the learning rate, whatever its gradient; those of
    the second matrices begin at nothing. A job asks for no warm-up by default."""
    asked = {"epochCount": "1", "batchSize": "72", "learningRate": "0.005", **warmup}
    settings = settings_of(asked, rank=16, alpha=32)
    spec = job(base, tmp_path / "job", settings=settings, validation=())
    last = (await run(spec))[-1]
    assert isinstance(last, Trained), last
    assert [row[0] for row in rows(spec, TRAINING_METRICS)] == [1]
    tensors = load_libraries().tensors.load(peft_files(spec).read("adapter_model.safetensors"))
    moved = [tensor.abs().max().item() for name, tensor in tensors.items() if "lora_B" in name]
    assert len(moved) == 7 * 2
    assert moved == pytest.approx([share * 0.005] * len(moved), rel=0.01)


MALFORMED = "Unable to parse Amazon S3 file: data.jsonl. Data files must conform to JSONL format."
REFUSED: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"input": "a",', MALFORMED),
    "an empty line": (b'{"input": "a", "output": "b"}\n\n', MALFORMED),
    "no output": (b'{"input": "a"}', MALFORMED),
    "characters": (
        b'{"input": "' + b"a " * 300 + b'", "output": "b"}',
        "Input size exceeded in file data.jsonl for record starting with",
    ),
    "input": (
        b'{"input": "' + b"a b " * 30 + b'", "output": "b"}',
        "Maximum input token count ",
    ),
    "output": (
        b'{"input": "b", "output": "' + b"a b " * 30 + b'"}',
        "Maximum output token count ",
    ),
}


@pytest.mark.parametrize(("line", "told"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("which", ["training", "validation"])
async def test_data_that_break_a_rule_end_the_run_before_it_trains(
    base: Path, tmp_path: Path, which: str, line: bytes, told: str
) -> None:
    """In the documents' words, whichever of the files it is."""
    sound = b'{"input": "a", "output": "b"}\n'
    files = {
        name: DataFile(path=str(tmp_path / name), name=name, most_records=2, records_quota="q")
        for name in ("sound.jsonl", "data.jsonl")
    }
    (tmp_path / "sound.jsonl").write_bytes(sound)
    (tmp_path / "data.jsonl").write_bytes(sound + line)
    limits = RecordLimits(input_tokens=64, output_tokens=50, total_tokens=64, characters=384)
    training, validation = reversed(files.values()) if which == "training" else files.values()
    data = {"training": training, "validation": (validation,)}
    spec = job(base, tmp_path / "job", limits=limits, **data)
    (last,) = await run(spec)
    assert isinstance(last, Rejected), last
    assert last.message.startswith(told)
    assert list(spec_folder(spec).iterdir()) == []


@pytest.mark.parametrize("validated", [True, False])
async def test_weights_that_are_no_numbers_any_more_end_in_advice_and_no_model(
    base: Path, tmp_path: Path, *, validated: bool
) -> None:
    """After one step, whose own loss was sound."""
    settings = Settings(epochs=1, batch_size=72, learning_rate=1e30, warmup_steps=0)
    changes: dict[str, Any] = {} if validated else {"validation": ()}
    spec = job(base, tmp_path / "job", settings=settings, **changes)
    last = (await run(spec))[-1]
    assert isinstance(last, Rejected), last
    assert "not a number any more. A lower learning rate" in last.message
    assert not (spec_folder(spec) / ADAPTER_GGUF).exists()
