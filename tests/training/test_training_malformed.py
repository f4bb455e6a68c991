"""Malformed data files, whatever is in them, are refused in words and by nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from training_data import spec_of

from outcrop.training.datasets import DataRejected, read_examples
from outcrop.training.tokenizer import Tokenizer

Damage = Callable[[bytes, int], bytes]


def line_of(said: tuple[str, str]) -> bytes:
    return msgspec.json.encode({"input": said[0], "output": said[1]})


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
lines = st.tuples(texts, texts).map(line_of)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["input", "prompt", "messages", "role", "content", "text", "system"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
# Every one makes a good line a bad one, wherever it is done.
DAMAGES: dict[str, Damage] = {
    "cut": lambda line, at: line[: at % len(line)],
    "doubled": lambda line, at: line + line,
    "open": lambda line, at: b"[" * (at + 1) + line,
    "control": lambda line, at: line[: at % len(line)] + b"\x01" + line[at % len(line) :],
    "no utf-8": lambda line, at: line[: at % len(line)] + b"\xff" + line[at % len(line) :],
    "broken": lambda line, at: line[: 1 + at % (len(line) - 1)] + b"\n" + line[1 + at % 5 :],
    "blank": lambda line, at: b"\n" + line,
    "key lost": lambda line, at: line.replace(b',"output":', b',"outputs":'),
    "key twice": lambda line, at: b'{"output":"a",' + line[1:],
    "wrapped": lambda line, at: b"[" + line + b"]",
    "half a pair": lambda line, at: b'{"input":"\\udc00",' + line[line.index(b'"output"') :],
    "not a number": lambda line, at: b'{"input":-Infinity,' + line[line.index(b'"output"') :],
    "large number": lambda line, at: b'{"input":' + b"1" * (5000 + at) + line[1:],
    "comma": lambda line, at: line[:-1] + b",}",
    "quotes": lambda line, at: line.replace(b'"', b"'"),
    "null": lambda line, at: b"null",
}


def assert_rejected(path: Path, content: bytes, tokenizer: Tokenizer) -> None:
    path.write_bytes(content)
    spec = spec_of(path)
    with pytest.raises(DataRejected) as caught:
        list(read_examples(spec.training, spec, tokenizer))
    assert "train.jsonl" in caught.value.message
    # It goes into a record and an answer: so it must be text.
    assert caught.value.message.encode()


@settings(max_examples=800, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    good=st.lists(lines, min_size=1, max_size=4),
    where=st.integers(0, 3),
    damage=st.sampled_from(sorted(DAMAGES)),
    at=st.integers(0, 200),
)
def test_a_damaged_line_is_refused_wherever_it_stands(
    good: list[bytes],
    where: int,
    damage: str,
    at: int,
    tokenizer: Tokenizer,
    tmp_path: Path,
):
    good[where % len(good)] = DAMAGES[damage](good[where % len(good)], at)
    assert_rejected(tmp_path / "train.jsonl", b"\n".join(good) + b"\n", tokenizer)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_data_file_are_refused(
    content: bytes, tokenizer: Tokenizer, tmp_path: Path
):
    assert_rejected(tmp_path / "train.jsonl", content, tokenizer)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values, key=st.sampled_from(["messages", "system", "output", "completion", "input"]))
def test_json_of_another_shape_is_refused(
    value: Any, key: str, tokenizer: Tokenizer, tmp_path: Path
):
    # ``input`` alone is no record of fine-tuning, and no other key makes one alone.
    line = msgspec.json.encode({key: value})
    assert_rejected(tmp_path / "train.jsonl", line, tokenizer)
    assert_rejected(tmp_path / "train.jsonl", msgspec.json.encode(value), tokenizer)
