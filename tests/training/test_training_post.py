"""What travels to the workers of a cluster, with a dictionary in place of Ray's shared memory."""

import secrets
from pathlib import Path

import msgspec
import numpy as np
import pytest
from training_data import spec_of

from outcrop.security.sealed_files import NotSealed
from outcrop.training.bases import dequantized_folder, find_dequantized
from outcrop.training.examples import Examples
from outcrop.training.libraries import load_libraries
from outcrop.training.post import (
    ENDED,
    PROGRESS,
    Envelope,
    Post,
    Task,
    receive_examples,
    send_examples,
)
from outcrop.training.sent_weights import Weights, place_base, read_piece, weights_of
from outcrop.training.spec import BaseWeights, TrainingSpec

JOB = "arn:aws:bedrock:us-east-1:111122223333:model-customization-job/titan/abcdefghijkl"


class SharedMemory:
    def __init__(self) -> None:
        self.objects: list[bytes] = []

    def put(self, content: bytes) -> int:
        self.objects.append(content)
        return len(self.objects) - 1

    def get(self, reference: int) -> bytes:
        return self.objects[reference]


def examples(count: int, longest: int) -> Examples:
    drawn = np.random.default_rng(count)
    lengths = drawn.integers(2, longest, count)
    tokens = drawn.integers(0, 49152, int(lengths.sum()), dtype=np.uint32)
    return Examples(tokens, lengths, lengths // 2)


@pytest.mark.parametrize(("count", "longest"), [(1, 3), (50, 400), (4500, 8000)])
def test_examples_arrive_as_they_were_sent(count: int, longest: int):
    memory, envelope, sent = SharedMemory(), Envelope.new(JOB), examples(count, longest)
    told = send_examples(1, sent, envelope, memory)
    assert receive_examples(1, told, envelope, memory).digest() == sent.digest()


def test_nothing_of_the_data_lies_open_in_what_ray_may_write_to_disk():
    memory, sent = SharedMemory(), examples(20, 40)
    send_examples(0, sent, Envelope.new(JOB), memory)
    tokens = sent.all_tokens.tobytes()
    for content in memory.objects:
        assert tokens[:16] not in content
        assert sent.lengths.tobytes()[:16] not in content


def test_examples_do_not_open_with_another_key_or_as_other_examples():
    memory, envelope = SharedMemory(), Envelope.new(JOB)
    told = send_examples(0, examples(5, 9), envelope, memory)
    for number, other in ((1, envelope), (0, Envelope.new(JOB)), (0, Envelope(envelope.key, "x"))):
        with pytest.raises(NotSealed):
            receive_examples(number, told, other, memory)


def test_the_post_keeps_the_latest_word_and_the_first_end():
    post = Post()
    post.tell(PROGRESS, b"1")
    post.tell(PROGRESS, b"2")
    post.tell(ENDED, b"3")
    post.tell(ENDED, b"4")
    assert post.take() == {PROGRESS: b"2", ENDED: b"3"}
    assert post.take() == {}


def test_the_post_gives_out_the_files_of_the_weights_and_no_others(tmp_path: Path):
    folder, spec = tmp_path / "weights", spec_of(tmp_path / "train.jsonl", key=b"")
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"no")
    post = Post()
    post.begin(Task(spec, b"", (), None, Weights(str(folder), {"config.json": 2})))
    assert post.weights("config.json", 0) == b"{}"
    with pytest.raises(KeyError):
        post.weights("../secret", 0)


def base_of(tmp_path: Path, source: str) -> TrainingSpec:
    return spec_of(
        tmp_path / "train.jsonl",
        base=BaseWeights(source=source, fingerprint="f"),
        cache_dir=str(tmp_path / "elsewhere"),
    )


def weights_in(folder: Path, *, is_dequantized: bool) -> Weights:
    """One file of more than a piece."""
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(secrets.token_bytes(2**26 + 7))
    files = {"config.json": 2, "model.safetensors": 2**26 + 7}
    return Weights(str(folder), files, is_dequantized=is_dequantized)


def test_a_node_without_the_weights_is_sent_them_once(tmp_path: Path):
    weights = weights_in(tmp_path / "here", is_dequantized=True)
    asked: list[str] = []

    def read(name: str, offset: int) -> bytes:
        asked.append(name)
        return read_piece(Path(weights.folder) / name, offset)

    spec = base_of(tmp_path, "/nowhere/base.gguf")
    placed = place_base(spec, weights, read, tmp_path / "node")
    folder = find_dequantized(placed)
    assert folder is not None
    for name in weights.files:
        assert (folder / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert asked == ["config.json", "model.safetensors", "model.safetensors"]
    assert place_base(spec, weights, read, tmp_path / "node") == placed
    assert len(asked) == 3


def test_a_directory_of_weights_is_loaded_from_where_it_was_sent_to(tmp_path: Path):
    weights = weights_in(tmp_path / "here", is_dequantized=False)
    spec = base_of(tmp_path, "/nowhere/base")
    placed = place_base(
        spec, weights, lambda name, at: read_piece(tmp_path / "here" / name, at), tmp_path / "node"
    )
    assert placed.base.source == str(dequantized_folder(placed))
    assert placed.base.source.startswith(str(tmp_path / "node"))


def test_weights_that_became_shorter_are_not_kept(tmp_path: Path):
    weights = weights_in(tmp_path / "here", is_dequantized=True)
    spec = base_of(tmp_path, "/nowhere/base.gguf")
    with pytest.raises(OSError, match="became shorter"):
        place_base(spec, weights, lambda _name, _at: b"", tmp_path / "node")
    there = msgspec.structs.replace(spec, cache_dir=str(tmp_path / "node"))
    assert find_dequantized(there) is None


def test_a_node_that_has_the_weights_or_gets_them_by_itself_is_sent_nothing(tmp_path: Path):
    def read(name: str, offset: int) -> bytes:
        raise AssertionError(name)

    weights = weights_in(tmp_path / "here", is_dequantized=False)
    for source, told in ((weights.folder, weights), ("owner/model", Weights())):
        spec = base_of(tmp_path, source)
        assert place_base(spec, told, read, tmp_path / "node") == spec


def test_an_id_of_the_hub_has_no_files_to_send(tmp_path: Path):
    spec = base_of(tmp_path, "owner/model")
    assert weights_of(spec, load_libraries()) == Weights()
