"""The tokenizer of the weights that are trained, without PyTorch: the tokens that the engine sees.

What a caller wrote never becomes a control token (decision 0004): only text that is marked special
may name one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from huggingface_hub import (
    # Its own types name one that it leaves open.
    hf_hub_download,  # pyright: ignore[reportUnknownVariableType]
    is_offline_mode,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from tokenizers import Tokenizer as FastTokenizer

from outcrop.engines.gguf import GgufError, GgufModel, read_gguf, read_metadata
from outcrop.training.vocabulary import Fragment, VocabularyError, named_tokens, part, words_of

_TOKENIZER: Final = "tokenizer.json"
_CONFIG: Final = "tokenizer_config.json"
_TEMPLATE: Final = "chat_template.jinja"


class BaseUnusable(Exception):
    """The base has no tokenizer or chat template that gives here what its engine gives."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How the weights' own chat template is rendered; ``template`` is None where they have none."""

    template: str | None
    bos_token: str
    eos_token: str
    control_tokens: tuple[str, ...]


class Tokenizer(Protocol):
    """``end_id`` is the token by which the model ends an answer."""

    @property
    def end_id(self) -> int: ...

    @property
    def chat(self) -> ChatFormat: ...

    def encode(self, text: str, special: bool) -> list[int]:
        """``special`` lets the text name control tokens; nothing is added to it."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text; none is special."""
        ...


def open_tokenizer(source: str) -> Tokenizer:
    """Of a GGUF file, a directory of Transformers or an ID of the hub; raises BaseUnusable."""
    path = Path(source)
    try:
        return _open_gguf(path) if path.is_file() else _open_json(source)
    except (GgufError, VocabularyError, OSError, ValueError) as error:
        raise BaseUnusable(f"the tokenizer of {source} cannot be used: {error}") from error


class _GgufTokenizer:
    def __init__(self, metadata: dict[str, Any], chat: ChatFormat, end_id: int) -> None:
        self.chat = chat
        self.end_id = end_id
        self._words = words_of(metadata)
        self._named = named_tokens(metadata)
        self._said = tuple(token for token in self._named if token.in_any_text)

    def encode(self, text: str, special: bool) -> list[int]:
        return self._joined([list(part(text, self._named if special else self._said))])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        if not self._said:
            return self._words.encode_batch(texts)
        return self._joined([list(part(text, self._said)) for text in texts])

    def _joined(self, parted: Sequence[Sequence[Fragment]]) -> list[list[int]]:
        words = [one for each in parted for one in each if isinstance(one, str)]
        plain = iter(self._words.encode_batch(words))

        def ids(fragment: Fragment) -> list[int]:
            return [fragment] if isinstance(fragment, int) else next(plain)

        return [[token for fragment in each for token in ids(fragment)] for each in parted]


class _JsonTokenizer:
    def __init__(self, plain: FastTokenizer, special: FastTokenizer, chat: ChatFormat) -> None:
        end_id = plain.token_to_id(chat.eos_token)
        if end_id is None:
            raise VocabularyError("it names no token that ends a text")
        self.chat = chat
        self.end_id = end_id
        self._plain, self._special = plain, special

    def encode(self, text: str, special: bool) -> list[int]:
        tokenizer = self._special if special else self._plain
        return tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._plain.encode_batch_fast(texts, add_special_tokens=False)]


class _Token(msgspec.Struct):
    content: str


class _Config(msgspec.Struct):
    """Of ``tokenizer_config.json``. A token stands there as its text, or as an object."""

    bos_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    chat_template: Any = None


def _open_gguf(path: Path) -> Tokenizer:
    model: GgufModel = read_gguf(path)
    if model.eos_id is None:
        raise VocabularyError("it names no token that ends a text")
    chat = ChatFormat(model.chat_template, model.bos_token, model.eos_token, model.control_tokens)
    return _GgufTokenizer(read_metadata(path), chat, model.eos_id)


def _open_json(source: str) -> Tokenizer:
    content = _file(source, _TOKENIZER).read_text(encoding="utf-8")
    config = msgspec.json.decode(_file(source, _CONFIG).read_bytes(), type=_Config)
    plain, special = _fast(content), _fast(content)
    plain.encode_special_tokens = True
    added = special.get_added_tokens_decoder().values()
    chat = ChatFormat(
        template=_template(source, config),
        bos_token=_text(config.bos_token),
        eos_token=_text(config.eos_token),
        control_tokens=tuple(token.content for token in added if token.special),
    )
    return _JsonTokenizer(plain, special, chat)


def _fast(content: str) -> FastTokenizer:
    try:
        tokenizer = FastTokenizer.from_str(content)
    # The library's own errors derive from Exception directly.
    except Exception as error:
        raise VocabularyError(f"its {_TOKENIZER} is not read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _file(source: str, name: str) -> Path:
    folder = Path(source)
    return folder / name if folder.is_dir() else Path(str(hf_hub_download(source, name)))


def _template(source: str, config: _Config) -> str | None:
    """As Transformers looks for it: a file of its own, else the configuration."""
    try:
        return _file(source, _TEMPLATE).read_text(encoding="utf-8")
    except LocalEntryNotFoundError:
        # The hub did not answer: there may be such a file, and the configuration's be an older one.
        if not _is_absent_here(source):
            raise
    except (FileNotFoundError, EntryNotFoundError):
        pass
    return config.chat_template if isinstance(config.chat_template, str) else None


def _is_absent_here(source: str) -> bool:
    """What was fetched before is all there is, or the hub has said then that it has none."""
    return is_offline_mode() or try_to_load_from_cache(source, _TEMPLATE) is not None


def _text(token: str | _Token | None) -> str:
    return token.content if isinstance(token, _Token) else token or ""
