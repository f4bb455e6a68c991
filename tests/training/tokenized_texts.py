"""Texts on which tokenizers differ, and the tiny models whose tokens are compared on them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from outcrop.training.scored_pieces import SPACE

_ALPHABET = (
    *"abcXYZ019 \t\n\r'\"!?.,;<>|_-/\\{}()[]éßñİſ中国日本語가한😀👍🏽\u200d\u00a0",
    *"\u3000\u2028\u0085٣५²½Ⅷ",
    *("\u0301", "\0", "\ufffd", "\u2019", "Ġ", "▁", "\U00042019", "\U00042020", "\xf1", "\ue000"),
    *("'s", "'LL", "'re", " the", "  ", "\n\n", "\r\n", "123", "fox", "def f(x):\n    return x"),
    *("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|im_", "<repo_name>", "http://a.b/c?d=e&f"),
)
_BLOCKS = (
    *range(0, 0x3500, 256),
    *(0x4E00, 0xA600, 0xA700, 0xAC00, 0xE000, 0xF900, 0xFE00, 0xFF00),
    *range(0x10000, 0x12000, 1024),
    *range(0x1D000, 0x1FB00, 256),
    *(0x20000, 0x31300, 0x42000, 0x4B000, 0xE0000, 0x10FF00),
)


def blocks() -> Iterator[str]:
    """The characters of many blocks of Unicode, in a row, after letters, and before digits."""
    for start in _BLOCKS:
        characters = [chr(code) for code in range(start, start + 256)]
        yield "".join(characters)
        yield "".join(f"a{one} {one}1" for one in characters)


def mixtures(count: int) -> Iterator[str]:
    # The same texts every time.
    chance = random.Random(6)  # noqa: S311
    for _ in range(count):
        yield "".join(chance.choice(_ALPHABET) for _ in range(chance.randint(1, 60)))


def scored(metadata: Mapping[str, Any], ties: int, more: Sequence[str] = ()) -> dict[str, Any]:
    """The vocabulary of ``metadata`` as one of scored pieces; so many of them have equal scores.
    ``more`` are pieces besides, with the best scores."""
    byte_of = {letter: byte for byte, letter in byte_letters()}
    pieces: list[str] = []
    for token in metadata["tokenizer.ggml.tokens"][17:12_000]:
        try:
            text = bytes(byte_of[letter] for letter in token).decode()
        except UnicodeDecodeError:
            continue
        text = text.replace(" ", SPACE)
        if "\0" not in text and SPACE not in text.lstrip(SPACE):
            pieces.append(text)
    pieces = [*dict.fromkeys((*more, *pieces))]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, *pieces]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces)],
        "tokenizer.ggml.scores": [*[0.0] * 259, *(-float(n // ties) for n in range(len(pieces)))],
    }


def byte_letters() -> Iterator[tuple[int, str]]:
    """The letter that stands for each byte in a vocabulary of byte pairs."""
    others = 256
    for byte in range(256):
        if chr(byte).isprintable() and byte not in (32, 173):
            yield byte, chr(byte)
        else:
            yield byte, chr(others)
            others += 1


def write_tiny(path: Path, metadata: Mapping[str, Any]) -> None:
    """A model without knowledge, with the vocabulary of ``metadata``."""
    width = 32
    tokens = metadata["tokenizer.ggml.tokens"]
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(metadata["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(metadata["tokenizer.ggml.pre"])
    writer.add_token_list(tokens)
    writer.add_token_types(metadata["tokenizer.ggml.token_type"])
    if "tokenizer.ggml.merges" in metadata:
        writer.add_token_merges(metadata["tokenizer.ggml.merges"])
    if "tokenizer.ggml.scores" in metadata:
        writer.add_token_scores(metadata["tokenizer.ggml.scores"])
    if "tokenizer.ggml.add_space_prefix" in metadata:
        writer.add_add_space_prefix(metadata["tokenizer.ggml.add_space_prefix"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0].content }}")
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), width), np.float16))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float16))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
