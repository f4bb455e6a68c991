"""Texts on which tokenizers differ, and the tiny models whose tokens are compared on them."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

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


def write_tiny(path: Path, metadata: Mapping[str, Any], words: str) -> None:
    """A model without knowledge, with the vocabulary of ``metadata`` but words of another form."""
    width = 32
    tokens = metadata["tokenizer.ggml.tokens"]
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words)
    writer.add_token_list(tokens)
    writer.add_token_types(metadata["tokenizer.ggml.token_type"])
    writer.add_token_merges(metadata["tokenizer.ggml.merges"])
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
