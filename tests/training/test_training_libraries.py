"""A machine that lacks a library of the extra is told which, and how it is installed."""

import os
import sys
import warnings
from pathlib import Path

import pytest
from tiny_bases import write_base
from training_data import spec_of, write

from outcrop.training.runner import run_training
from outcrop.training.spec import BaseWeights, Broken, Validated

PROCESS = """
import sys
sys.modules[{missing!r}] = None
from outcrop.training.process import main
main()
"""


@pytest.mark.parametrize("missing", ["gguf", "safetensors", "peft", "torch"])
async def test_a_missing_library_ends_in_advice(tmp_path: Path, missing: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = BaseWeights(source=str(write_base(tmp_path)), fingerprint="tiny")
    data = write(tmp_path, {"input": "who", "output": "it is"})
    spec = spec_of(data, base=base, parent=os.getpid())
    command = (sys.executable, "-c", PROCESS.format(missing=missing))
    async with run_training(spec, command=command) as process:
        read, ended = [report async for report in process.reports()]
    assert isinstance(read, Validated)
    assert isinstance(ended, Broken)
    assert missing in ended.message
    assert "pip install 'outcrop[train]'" in ended.message
