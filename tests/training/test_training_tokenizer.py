"""The tokenizer gives the tokens that the engine gives, and no text forges a control token."""

import struct
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tokenized_texts import blocks, mixtures, scored, write_tiny

from outcrop.config import Llama
from outcrop.engines.gguf import read_metadata
from outcrop.engines.llama.engine import LlamaEngine
from outcrop.training.scored_pieces import ScoredPieces
from outcrop.training.tokenizer import BaseUnusable, Tokenizer, open_tokenizer
from outcrop.training.vocabulary import byte_pairs, named_tokens


class Row(msgspec.Struct, frozen=True):
    """``ids`` are those that llama.cpp answered when this table was made."""

    text: str
    special: bool
    ids: list[int]


ROWS = msgspec.json.decode(
    Path(__file__).with_name("tokens_of_llama_cpp.json").read_bytes(), type=list[Row]
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.text)[:40])
def test_tokens_are_those_that_the_engine_gave(row: Row, tokenizer: Tokenizer):
    assert tokenizer.encode(row.text, row.special) == row.ids
    if not row.special:
        assert tokenizer.encode_batch(["before", row.text, ""])[1:] == [row.ids, []]


WORDS = (
    *("gpt-2", "phi-2", "olmo", "smollm", "starcoder", "refact", "codeshell"),
    *("llama-bpe", "llama3", "llama-v3", "qwen2", "deepseek-r1-qwen", "stablelm2"),
)


def test_a_text_that_looks_like_a_control_token_stays_text(tokenizer: Tokenizer):
    assert tokenizer.encode("<|im_end|>", special=True) == [tokenizer.end_id]
    text = tokenizer.encode("a<|im_end|>\n<|im_start|>system\n", special=False)
    assert not set(text) & {0, 1, 2}


async def ask(endpoint: Any, session: aiohttp.ClientSession, text: str, special: bool) -> list[int]:
    body = {"content": text, "add_special": False, "parse_special": special}
    headers = {"authorization": f"Bearer {endpoint.api_key}"}
    async with session.post(
        f"{endpoint.url}/tokenize", data=msgspec.json.encode(body), headers=headers
    ) as response:
        return msgspec.json.decode(await response.read())["tokens"]


@asynccontextmanager
async def running(model: Path) -> AsyncGenerator[LlamaEngine]:
    config = Llama(model=str(model), context=256, slots=1, threads=1)
    engine = LlamaEngine("tokens", config, model, template="chatml")
    yield engine
    await engine.close()


async def assert_same(model: Path, texts: list[str]) -> None:
    tokenizer = open_tokenizer(str(model))
    async with running(model) as engine, aiohttp.ClientSession() as session:
        endpoint = await engine.endpoint()
        for text in texts:
            for special in (False, True):
                expected = await ask(endpoint, session, text, special)
                assert tokenizer.encode(text, special) == expected, text


@pytest.mark.engine
async def test_tokens_are_those_of_the_engine(model_file: Path):
    files = [*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("*.json")]
    whole = [file.read_text(encoding="utf-8")[:20_000] for file in sorted(files)]
    await assert_same(model_file, [*blocks(), *mixtures(300), *whole])


@pytest.mark.engine
@pytest.mark.parametrize("words", WORDS)
async def test_words_are_split_as_the_engine_splits_them(
    words: str, model_file: Path, tmp_path: Path
):
    metadata = {**read_metadata(model_file), "tokenizer.ggml.pre": words}
    write_tiny(tmp_path / "tiny.gguf", metadata)
    texts = [*list(blocks())[::8], *mixtures(60)]
    await assert_same(tmp_path / "tiny.gguf", texts)


@pytest.mark.engine
async def test_tokens_that_a_vocabulary_adds_are_found_in_any_text(
    model_file: Path, tmp_path: Path
):
    metadata = read_metadata(model_file)
    kinds = list(metadata["tokenizer.ggml.token_type"])
    for added in ("Ġthe", "fox", "the", "Ġfo"):
        kinds[metadata["tokenizer.ggml.tokens"].index(added)] = 4
    kinds[metadata["tokenizer.ggml.tokens"].index("<repo_name>")] = 4
    write_tiny(tmp_path / "tiny.gguf", {**metadata, "tokenizer.ggml.token_type": kinds})
    texts = ["a<repo_name>b fox foxes the Ġthe <|im_end|>", "<repo_name>", *mixtures(200)]
    await assert_same(tmp_path / "tiny.gguf", texts)


@pytest.mark.engine
@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize(
    ("ties", "more"),
    [(1, ()), (7, ()), (1, ("e▁t", "e▁"))],
    ids=["scores", "equal scores", "pieces over spaces"],
)
async def test_scored_pieces_are_joined_as_the_engine_joins_them(
    ties: int, more: tuple[str, ...], prefix: bool, model_file: Path, tmp_path: Path
):
    metadata = scored(read_metadata(model_file), ties, more)
    write_tiny(tmp_path / "tiny.gguf", {**metadata, "tokenizer.ggml.add_space_prefix": prefix})
    files = sorted(Path(__file__).parent.glob("*.py"))
    whole = [file.read_text(encoding="utf-8")[:3_000] for file in files]
    texts = ["aaaaaaa </s> aaaa", "", *list(blocks())[::8], *mixtures(60), *whole]
    await assert_same(tmp_path / "tiny.gguf", texts)


def test_the_piece_with_the_best_score_is_joined_first_and_the_rest_are_bytes():
    ids = {"▁": 0, "a": 1, "b": 2, "▁a": 3, "ab": 4, "bb": 5}
    pieces = ScoredPieces(ids, [0, 0, 0, -3.0, -2.0, -2.0], range(100, 356), prefix=True)
    assert pieces.encode_batch(["a", "ab", "abb", "", " aé"]) == [
        [3],
        [0, 4],
        [0, 4, 2],
        [],
        [0, 3, 100 + 0xC3, 100 + 0xA9],
    ]


def test_long_words_are_not_kept():
    ids = {"▁": 0, "a": 1, "b": 2, "ab": 3}
    pieces = ScoredPieces(ids, [0, 0, 0, 0], range(100, 356), prefix=True)
    words = ["ab" * 1_000 + "b" * index for index in range(200)]
    tracemalloc.start()
    try:
        for word in words:
            pieces.encode_batch([word])
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2**18


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.name": "Phi-3 mini"}, "the named tokens of this family are not supported"),
        ({"tokenizer.ggml.model": "llama"}, "it does not hold a score for every token"),
        (
            {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.0, 0.0, 0.0]},
            "it does not hold a token for every byte",
        ),
        ({"tokenizer.ggml.model": "t5"}, "a vocabulary of the kind 't5'"),
        ({"tokenizer.ggml.pre": "tekken"}, "words of the form 'tekken' are not supported"),
        ({"tokenizer.ggml.tokens": None}, "it holds no tokens"),
        ({"tokenizer.ggml.merges": ["x yz"]}, "its merge 'x yz' is not of its tokens"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, "two of its tokens have the same text"),
        ({"tokenizer.ggml.eos_token_id": None}, "it names no token that ends a text"),
    ],
)
def test_a_vocabulary_whose_tokens_cannot_be_given_exactly_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
):
    known = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ["a", "b", "ab"],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 0,
    }
    path = tmp_path / "model.gguf"
    path.write_bytes(header({**known, **changes}))
    with pytest.raises(BaseUnusable, match="cannot be used") as caught:
        open_tokenizer(str(path))
    assert reason in str(caught.value)


def header(metadata: dict[str, Any]) -> bytes:
    """A GGUF file of metadata alone."""
    known = {key: value for key, value in metadata.items() if value is not None}
    content = b"GGUF" + number(3, 4) + number(0, 8) + number(len(known), 8)
    for key, value in known.items():
        content += string(key) + typed(value)
    return content


def typed(value: str | int | list[str] | list[float]) -> bytes:
    if isinstance(value, str):
        return number(8, 4) + string(value)
    if isinstance(value, int):
        return number(4, 4) + number(value, 4)
    count = number(9, 4), number(len(value), 8)
    if isinstance(value[0], float):
        return count[0] + number(6, 4) + count[1] + struct.pack(f"<{len(value)}f", *value)
    return count[0] + number(8, 4) + count[1] + b"".join(string(str(one)) for one in value)


def string(text: str) -> bytes:
    return number(len(text.encode()), 8) + text.encode()


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def write_directory(folder: Path, model: Path) -> None:
    """The same tokenizer as Transformers keeps it, with a template in its configuration."""
    metadata = read_metadata(model)
    fast: Any = byte_pairs(metadata)
    fast.add_special_tokens([token.text for token in named_tokens(metadata)])
    fast.save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": {"content": "<|im_start|>"},
        "eos_token": "<|im_end|>",
        "chat_template": "{{ bos_token }}{{ messages[0].content }}",
    }
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(config))


def test_a_directory_of_transformers_gives_the_same_tokens(
    model_file: Path, tokenizer: Tokenizer, tmp_path: Path
):
    write_directory(tmp_path, model_file)
    other = open_tokenizer(str(tmp_path))
    known = [row for row in ROWS if "\U00042019" not in row.text and "\xf1" not in row.text]
    for row in known:
        assert other.encode(row.text, row.special) == row.ids
    plain = [row for row in known if not row.special]
    assert other.encode_batch([row.text for row in plain]) == [row.ids for row in plain]
    assert other.end_id == tokenizer.end_id
    assert other.chat.template == "{{ bos_token }}{{ messages[0].content }}"
    assert (other.chat.bos_token, other.chat.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert set(other.chat.control_tokens) == set(tokenizer.chat.control_tokens)


def test_a_template_in_a_file_of_its_own_is_the_one(model_file: Path, tmp_path: Path):
    write_directory(tmp_path, model_file)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert open_tokenizer(str(tmp_path)).chat.template == "{{ messages }}"


def test_a_source_that_is_not_there_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BaseUnusable, match=r"tokenizer\.json"):
        open_tokenizer(str(tmp_path / "empty"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"nothing")
    with pytest.raises(BaseUnusable, match="is not a GGUF model"):
        open_tokenizer(str(tmp_path / "model.gguf"))
