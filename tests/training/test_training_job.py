"""How a job is prepared, in this process."""

import os
import warnings
from pathlib import Path

import pytest
from tiny_bases import write_base
from training_data import spec_of, write

from outcrop.training.job import prepare, read_data
from outcrop.training.libraries import load_libraries
from outcrop.training.spec import BaseWeights
from outcrop.training.world import Alone

pytestmark = pytest.mark.engine


def test_a_cpu_that_nobody_asked_for_by_name_computes_the_same_again(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        libraries = load_libraries()
        base = BaseWeights(source=str(write_base(tmp_path)), fingerprint="tiny")
        file = write(tmp_path, {"prompt": "Where?", "completion": "Here."})
        spec = spec_of(file, base=base, device="auto", parent=os.getpid())
        try:
            prepare(spec, read_data(spec), Alone(), libraries)
            is_deterministic = libraries.torch.are_deterministic_algorithms_enabled()
        finally:
            libraries.torch.use_deterministic_algorithms(False)
    assert is_deterministic != libraries.torch.cuda.is_available()
