"""The vocabulary in a GGUF file: it gives llama.cpp's tokens, or is refused.

llama.cpp first takes the named tokens out of a text, the longest first. What is between them is of
one of two kinds: ``gpt2`` splits it into words by a pattern and joins the bytes of each by the
merges; ``llama`` joins characters by the scores of the pieces they make.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from tokenizers import Regex, Tokenizer as FastTokenizer, models, pre_tokenizers

from outcrop.training.scored_pieces import ScoredPieces

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""Kinds of tokens."""

_GPT2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
# Digits alone, then the words of GPT-2 between them: as one pattern, which takes a third less time.
_DIGITS: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])"


def _modern(digits: str) -> str:
    return (
        r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
        rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_LLAMA3: Final = _modern(r"\p{N}{1,3}")
_QWEN2: Final = _modern(r"\p{N}")
_PATTERNS: Final[Mapping[str, str]] = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "olmo": _GPT2,
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "codeshell": _DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "stablelm2": _QWEN2,
}
# These take a word that is a token as it is, whatever the merges say.
_IGNORE_MERGES: Final = frozenset({"llama-bpe", "llama3", "llama-v3"})

# All named tokens of these take the white space behind them, which no file says.
_STRIPPING: Final = ("phi-3", "phi3")


class VocabularyError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token that is found by its text before anything is split. ``in_any_text``: even in one that
    is not special, as llama.cpp does it with the tokens that a vocabulary's makers added."""

    text: str
    id: int
    in_any_text: bool


Fragment = str | int


class Words(Protocol):
    """What makes tokens of a text without named tokens."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...


def words_of(metadata: Mapping[str, Any]) -> Words:
    """Raises VocabularyError for the kinds whose tokens it could not give exactly."""
    if any(one in str(metadata.get("general.name", "")).lower() for one in _STRIPPING):
        raise VocabularyError("the named tokens of this family are not supported")
    match metadata.get("tokenizer.ggml.model"):
        case "gpt2":
            return _BytePairs(byte_pairs(metadata), len(_strings(metadata, "tokens")))
        case "llama":
            return _scored_pieces(metadata)
        case kind:
            raise VocabularyError(f"a vocabulary of the kind {kind!r} is not supported")


class _BytePairs:
    def __init__(self, fast: FastTokenizer, size: int) -> None:
        self._fast = fast
        self._size = size

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._fast.encode_batch_fast(texts, add_special_tokens=False)
        return [self._known(one.ids) for one in encoded]

    def _known(self, ids: list[int]) -> list[int]:
        if max(ids, default=0) < self._size:
            return ids
        return [token for token in ids if token < self._size]


def byte_pairs(metadata: Mapping[str, Any]) -> FastTokenizer:
    """A byte without a token gives an ID behind the vocabulary's: llama.cpp leaves it out, but only
    once its neighbours are joined, so that they are not joined over it."""
    words = metadata.get("tokenizer.ggml.pre")
    if words not in _PATTERNS:
        raise VocabularyError(
            f"words of the form {words!r} are not supported, only {', '.join(sorted(_PATTERNS))}"
        )
    vocabulary = _vocabulary(metadata)
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(byte, len(vocabulary))
    model = models.BPE(vocabulary, _merges(metadata, vocabulary))
    model.ignore_merges = words in _IGNORE_MERGES
    tokenizer = FastTokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERNS[words]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _scored_pieces(metadata: Mapping[str, Any]) -> ScoredPieces:
    vocabulary = _vocabulary(metadata)
    scores: list[float] = metadata.get("tokenizer.ggml.scores", [])
    if len(scores) != len(vocabulary):
        raise VocabularyError("it does not hold a score for every token")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    if not vocabulary.keys() >= set(bytes_):
        raise VocabularyError("it does not hold a token for every byte")
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    return ScoredPieces(vocabulary, scores, [vocabulary[byte] for byte in bytes_], prefix=prefix)


def named_tokens(metadata: Mapping[str, Any]) -> tuple[NamedToken, ...]:
    """In the order in which they are looked for."""
    kinds = metadata.get("tokenizer.ggml.token_type", ())
    found = [
        NamedToken(text, index, kind == _USER_DEFINED)
        for index, (text, kind) in enumerate(zip(_strings(metadata, "tokens"), kinds, strict=False))
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) and text
    ]
    return tuple(sorted(found, key=lambda token: len(token.text.encode()), reverse=True))


def part(text: str, named: Sequence[NamedToken]) -> Iterator[Fragment]:
    """The text in pieces: IDs of the tokens found in it, and what is between them."""
    fragments: list[Fragment] = [text]
    for token in named:
        if token.text in text:
            fragments = [one for fragment in fragments for one in _split(fragment, token)]
    return (fragment for fragment in fragments if fragment != "")


def _split(fragment: Fragment, token: NamedToken) -> Iterator[Fragment]:
    if isinstance(fragment, int):
        yield fragment
        return
    first, *others = fragment.split(token.text)
    yield first
    for other in others:
        yield token.id
        yield other


def _vocabulary(metadata: Mapping[str, Any]) -> dict[str, int]:
    tokens = _strings(metadata, "tokens")
    vocabulary = {text: index for index, text in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise VocabularyError("two of its tokens have the same text")
    return vocabulary


def _merges(metadata: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for line in _strings(metadata, "merges"):
        left, _, right = line.partition(" ")
        if not {left, right, left + right} <= vocabulary.keys():
            raise VocabularyError(f"its merge {line!r} is not of its tokens")
        merges.append((left, right))
    return merges


def _strings(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list):
        raise VocabularyError(f"it holds no {name}")
    return cast("list[str]", value)
