"""The largest file that the quotas admit, read by a process of its own in little memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from training_data import spec_of

from outcrop.training.spec import BaseWeights, TrainingSpec

MOST_RESIDENT_KIB = 512 * 1024
MOST_BYTES = 2**30
RECORDS = 10_000
# Written so, each character takes six bytes; at sixteen of them a word, tokens stay in the limit.
WORDS = (
    " characteristics",
    " recommendations",
    " representatives",
    " transformations",
    " accomplishments",
)

_CHILD = """
import sys
import msgspec
from outcrop.training.datasets import read_examples
from outcrop.training.spec import TrainingSpec
from outcrop.training.tokenizer import open_tokenizer

spec = msgspec.json.decode(sys.stdin.buffer.read(), type=TrainingSpec)
tokenizer = open_tokenizer(spec.base.source)
records = tokens = 0
for example in read_examples(spec.training, spec, tokenizer):
    records += 1
    tokens += len(example.prompt) + len(example.completion)
# Not ru_maxrss, in which the parent's pages from before the program was loaded count.
with open("/proc/self/status") as status:
    peak_kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(records, tokens, peak_kib)
"""


def escaped(text: str) -> bytes:
    return "".join(f"\\u{ord(one):04x}" for one in text).encode()


def largest(size_bytes: int) -> Iterator[bytes]:
    """Lines of one size, none like the other, that fill the file."""
    word_bytes = [escaped(word) for word in WORDS]
    frame = len(b'{"input": "", "output": "\\u0031\\u0030\\u0030\\u0030\\u0030"}\n')
    count = (size_bytes // RECORDS - frame) // len(word_bytes[0])
    for record in range(RECORDS):
        text = b"".join(word_bytes[int(digit) % 5] for digit in f"{record:06}")
        text += word_bytes[record % 5] * (count - 6)
        number = escaped(f"{record:05}")
        yield b'{"input": "' + text + b'", "output": "' + number + b'"}\n'


@pytest.mark.engine
def test_the_largest_file_is_read_in_less_than_half_a_gibibyte(model_file: Path, tmp_path: Path):
    path = tmp_path / "train.jsonl"
    with path.open("wb") as file:
        file.writelines(largest(MOST_BYTES))
    assert 0.99 * MOST_BYTES < path.stat().st_size <= MOST_BYTES
    base = BaseWeights(source=str(model_file), fingerprint="0", template="chatml")
    spec: TrainingSpec = msgspec.structs.replace(spec_of(path), base=base)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], input=msgspec.json.encode(spec), capture_output=True
    )
    path.unlink()
    assert child.returncode == 0, child.stderr.decode()
    records, tokens, peak_kib = map(int, child.stdout.split())
    assert records == RECORDS
    assert tokens > 1000 * RECORDS
    assert peak_kib < MOST_RESIDENT_KIB
