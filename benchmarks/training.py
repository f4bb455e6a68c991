"""Tokens trained per second and peak memory, beside TRL's SFTTrainer.

Both train the same LoRA on the same dequantized base, records, batch size, precision and threads;
each run is a process of its own, and they take turns. Tokens are counted without padding. TRL is
no dependency of ours: it is asked for in an environment of its own (``--peer PYTHON``).
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

_RANK, _ALPHA, _RATE, _WARMUP = 16, 32, 1e-3, 0
_RECORDS, _BATCH, _EPOCHS = 64, 8, 1
_OURS = (
    "spec", "libraries", "lora", "bases", "losses", "datasets", "examples", "world", "loop",
)  # fmt: skip
_HELP = (
    "the Python of an environment with trl and what outcrop[train] has, such as: python -m venv "
    "peer && peer/bin/pip install 'trl' 'outcrop[train]' (from this folder's parent: '.[train]')"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help=_HELP)
    parser.add_argument("--base", required=True, help="a directory of Transformers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=_RECORDS)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--run", choices=("outcrop", "trl"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run is not None:
        run = {"outcrop": _run_outcrop, "trl": _run_trl}[asked.run]
        print(json.dumps(run(asked)))
        return
    if asked.peer is None:
        parser.error(f"--peer is needed: {_HELP}")
    found: dict[str, list[Mapping[str, float]]] = {"outcrop": [], "trl": []}
    for number in range(asked.rounds):
        for who in sorted(found, reverse=bool(number % 2)):
            found[who].append(_measured(who, asked))
    # The peer's environment has no Outcrop to tell the version of.
    _module("report").show("training", _figures(found, asked))


def _measured(who: str, asked: argparse.Namespace) -> Mapping[str, float]:
    python = asked.peer if who == "trl" else sys.executable
    command = [python, __file__, "--run", who, "--base", asked.base]
    command += ["--threads", str(asked.threads), "--records", str(asked.records)]
    command += ["--precision", asked.precision]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _figures(
    found: Mapping[str, Sequence[Mapping[str, float]]], asked: argparse.Namespace
) -> dict[str, Any]:
    ours, theirs = found["outcrop"], found["trl"]
    # Turns next to each other saw the same machine.
    pairs = [
        one["tokens_per_s"] / other["tokens_per_s"] for one, other in zip(ours, theirs, strict=True)
    ]
    pairs_cpu = [one["tokens_per_cpu_s"] / other["tokens_per_cpu_s"]
                 for one, other in zip(ours, theirs, strict=True)]  # fmt: skip
    return {
        "batch_size": _BATCH,
        "records": asked.records,
        "precision": asked.precision,
        "threads": asked.threads,
        "rounds": {name: list(runs) for name, runs in found.items()},
        "ratio_tokens_per_s": round(median(pairs), 2),
        "ratio_tokens_per_cpu_s": round(median(pairs_cpu), 2),
        "ratio_peak_memory": round(
            median(one["peak_mib"] for one in ours) / median(one["peak_mib"] for one in theirs), 2
        ),
    }


def _records(count: int) -> list[tuple[list[int], list[int]]]:
    """Prompts and completions, of lengths as questions and answers have them."""
    drawn = np.random.default_rng(7)
    prompts = np.clip(drawn.lognormal(3.6, 0.6, count), 8, 400).astype(int)
    answers = np.clip(drawn.lognormal(2.8, 0.6, count), 4, 200).astype(int)
    return [
        (drawn.integers(3, 49_000, int(one)).tolist(), drawn.integers(3, 49_000, int(two)).tolist())
        for one, two in zip(prompts, answers, strict=True)
    ]


def _told(tokens: int, since: tuple[float, float], loss: float) -> dict[str, float]:
    took, cpu = time.perf_counter() - since[0], time.process_time() - since[1]
    return {
        "tokens_per_s": round(tokens / took, 1),
        "tokens_per_cpu_s": round(tokens / cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "loss": round(loss, 4),
    }


def _ignore(told: object) -> None:
    """Neither reports nor checkpoints are measured: the peer is spared them."""


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _run_outcrop(asked: argparse.Namespace) -> dict[str, float]:
    # Imported by name: the peer's environment has none of it.
    training = {name: _module(f"outcrop.training.{name}") for name in _OURS}
    settings = training["spec"].Settings(
        epochs=_EPOCHS,
        batch_size=_BATCH,
        learning_rate=_RATE,
        warmup_steps=_WARMUP,
        rank=_RANK,
        alpha=_ALPHA,
    )
    libraries = training["libraries"].load_libraries()
    libraries.torch.set_num_threads(asked.threads)
    model = libraries.transformers.AutoModelForCausalLM.from_pretrained(
        asked.base, dtype=getattr(libraries.torch, asked.precision)
    )
    adapter = training["lora"].attach(model, settings, libraries)
    base = training["bases"].Base(model, None, libraries)
    losses = training["losses"].Losses(base, "cpu", libraries)
    example = training["datasets"].Example
    data = (example(tuple(prompt), tuple(answer)) for prompt, answer in _records(asked.records))
    with tempfile.TemporaryDirectory() as folder:
        examples = training["examples"].collect(data, folder)
    alone = training["world"].Alone()
    run = training["loop"].Run(settings, examples, (), adapter, losses, alone, libraries)
    hooks = training["loop"].Hooks(_ignore, _ignore, lambda: False, 1e9)
    since = _now()
    outcome = run.train(hooks)
    loss = sum(one.loss for one in outcome.training) / len(outcome.training)
    return _told(outcome.tokens, since, loss)


def _run_trl(asked: argparse.Namespace) -> dict[str, float]:
    torch, transformers, peft, trl = map(_module, ("torch", "transformers", "peft", "trl"))
    torch.set_num_threads(asked.threads)
    records = _records(asked.records)
    rows = _module("datasets").Dataset.from_list(
        [
            {
                "input_ids": prompt + answer,
                "completion_mask": [0] * len(prompt) + [1] * len(answer),
            }
            for prompt, answer in records
        ]
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        asked.base, dtype=getattr(torch, asked.precision)
    )
    with tempfile.TemporaryDirectory() as folder:
        config = trl.SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=_BATCH,
            num_train_epochs=_EPOCHS,
            learning_rate=_RATE,
            warmup_steps=_WARMUP,
            completion_only_loss=True,
            gradient_checkpointing=False,
            max_length=None,
            bf16=asked.precision == "bfloat16",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
        )
        trainer = trl.SFTTrainer(
            model=model,
            args=config,
            train_dataset=rows,
            processing_class=transformers.AutoTokenizer.from_pretrained(asked.base),
            peft_config=peft.LoraConfig(
                r=_RANK, lora_alpha=_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )
        since = _now()
        done = trainer.train()
    tokens = sum(len(prompt) + len(answer) for prompt, answer in records)
    return _told(tokens, since, done.training_loss)


if __name__ == "__main__":
    main()
