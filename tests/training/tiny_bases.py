"""A base of some thousand weights, for what does not depend on what it knows: a byte is a token."""

import importlib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from outcrop.training.libraries import load_libraries

_CONTROL = ("<|end|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_base(folder: Path) -> Path:
    """As Transformers saves a model and its tokenizer."""
    write_tokenizer(folder)
    libraries = load_libraries()
    libraries.torch.manual_seed(3)
    module: Any = importlib.import_module("transformers")
    config = module.LlamaConfig(
        vocab_size=256 + len(_CONTROL),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=256,
        eos_token_id=258,
        pad_token_id=256,
        tie_word_embeddings=True,
        # Large enough that what is learnt in its layers shows.
        initializer_range=0.3,
    )
    module.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate((*alphabet, *_CONTROL))}
    # As ``Any``: its types are partial.
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_CONTROL))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|end|>", "eos_token": "<|im_end|>", "chat_template": _TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
