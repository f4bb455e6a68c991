"""Reads data files and checks them, a line at a time: never more than a few MiB of a file at once.

Texts are those of the user guide's chapter on troubleshooting, with the record named behind them.
A prompt counts with all that its template writes, an answer with the token that ends it: as
InvokeModel counts them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outcrop.prompting.templates import Segment
from outcrop.training.records import (
    BadLine,
    BadRecord,
    Format,
    Record,
    find_format,
    read_object,
    read_record,
    shown,
)
from outcrop.training.rendering import Renderer, Unrenderable, open_renderer
from outcrop.training.spec import CustomizationType, DataFile, TrainingSpec
from outcrop.training.tokenizer import Tokenizer

# A character outside the BMP, as two \uXXXX.
_MOST_BYTES_OF_A_CHARACTER: Final = 12
# Keys, braces and white space of a record.
_MOST_FRAME_BYTES: Final = 2**16
# So many characters are tokenized at once: enough for every CPU, little enough in memory.
_BATCH_CHARACTERS: Final = 2**18
_BATCH_RECORDS: Final = 512
_CACHED_SEGMENTS: Final = 1024
_MOST_SHOWN: Final = 60
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens of a prompt, and of what is learnt: the answer and the token that ends it. Continued
    pre-training has no prompt."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


class DataRejected(Exception):
    """The data are at fault; ``message`` is for the job's owner."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    record: Record
    segments: tuple[Segment, ...]


def read_examples(file: DataFile, spec: TrainingSpec, tokenizer: Tokenizer) -> Iterator[Example]:
    """In the order of the file; raises DataRejected at the first record that is at fault."""
    return _Reader(file, spec, tokenizer).examples()


class _Reader:
    def __init__(self, file: DataFile, spec: TrainingSpec, tokenizer: Tokenizer) -> None:
        self._file = file
        self._name = file.name.rpartition("/")[2]
        self._kind: CustomizationType = spec.type
        self._limits = spec.limits
        self._most_tokens = min(spec.limits.total_tokens, spec.context_tokens)
        self._tokenizer = tokenizer
        self._renderer: Renderer = open_renderer(spec, tokenizer.chat)
        self._special: dict[str, list[int]] = {}

    def examples(self) -> Iterator[Example]:
        for batch in _batches(self._records()):
            yield from self._tokenized(batch)

    def _records(self) -> Iterator[_Numbered]:
        form: Format | None = None
        for number, line in self._lines():
            try:
                fields = read_object(line)
                form = form or find_format(fields, self._kind)
                record = read_record(fields, form)
            except BadLine as error:
                raise self._malformed(f"Record {number} {error}.") from error
            except BadRecord as error:
                raise self._misshapen(number, form, error) from error
            if record.characters > self._limits.characters:
                raise self._oversized(number, line, f"{record.characters} characters")
            yield _Numbered(number, record, self._render(number, record))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        most_bytes = self._limits.characters * _MOST_BYTES_OF_A_CHARACTER + _MOST_FRAME_BYTES
        number = 0
        with Path(self._file.path).open("rb") as file:
            while line := file.readline(most_bytes + 1):
                number += 1
                self._check_line(number, line, most_bytes)
                yield number, line
        if number == 0:
            raise self._malformed("It is empty.")

    def _check_line(self, number: int, line: bytes, most_bytes: int) -> None:
        if number == 1 and line.startswith(_BYTE_ORDER_MARK):
            raise self._malformed("It begins with a byte order mark, which is not JSON.")
        if not line.strip():
            raise self._malformed(f"Record {number} is an empty line.")
        if number > self._file.most_records:
            raise DataRejected(
                f"File {self._name} has more records than the quota "
                f"{self._file.records_quota} allows: {self._file.most_records}."
            )
        if len(line) > most_bytes:
            raise self._oversized(number, line, f"more than {most_bytes} bytes")

    def _render(self, number: int, record: Record) -> tuple[Segment, ...]:
        if record.prompt is None:
            return ()
        try:
            return self._renderer.render(record.prompt)
        except Unrenderable as error:
            raise DataRejected(
                f"The prompt of record {number} in file {self._name} is one that the model does "
                f"not take: {error}"
            ) from error

    def _tokenized(self, batch: list[_Numbered]) -> Iterator[Example]:
        texts = [
            text
            for one in batch
            for text in (
                *(segment.text for segment in one.segments if not segment.special),
                one.record.completion,
            )
        ]
        ids = iter(self._tokenizer.encode_batch(texts))
        for one in batch:
            prompt: list[int] = []
            for segment in one.segments:
                prompt += self._special_ids(segment.text) if segment.special else next(ids)
            example = Example(tuple(prompt), (*next(ids), self._tokenizer.end_id))
            self._check_tokens(one.number, example)
            yield example

    def _special_ids(self, text: str) -> list[int]:
        if text not in self._special:
            if len(self._special) >= _CACHED_SEGMENTS:
                self._special.clear()
            self._special[text] = self._tokenizer.encode(text, special=True)
        return self._special[text]

    def _check_tokens(self, number: int, example: Example) -> None:
        asked, answered = len(example.prompt), len(example.completion)
        if self._kind == "CONTINUED_PRE_TRAINING":
            asked, answered = answered, 0
        limits = self._limits
        where = f" (record {number} in file {self._name})"
        for told, count, limit in (
            ("Maximum input token count {} exceeds limit of {}", asked, limits.input_tokens),
            ("Maximum output token count {} exceeds limit of {}", answered, limits.output_tokens),
            (
                "Max sum of input and output token length {} exceeds total limit of {}",
                asked + answered,
                self._most_tokens,
            ),
        ):
            if count > limit:
                raise DataRejected(told.format(count, limit) + where)

    def _malformed(self, reason: str) -> DataRejected:
        return DataRejected(
            f"Unable to parse Amazon S3 file: {self._name}. "
            f"Data files must conform to JSONL format. {reason}"
        )

    def _misshapen(self, number: int, form: Format | None, error: BadRecord) -> DataRejected:
        if form is Format.PROMPTS:
            return DataRejected(
                f"Input data at {self._file.name} must follow '{form.value}' format. "
                f"Record {number} {error}."
            )
        must = f" Every record must look like {form.value}." if form is not None else ""
        return self._malformed(f"Record {number} {error}.{must}")

    def _oversized(self, number: int, line: bytes, size: str) -> DataRejected:
        start = shown(line[: 4 * _MOST_SHOWN].decode(errors="replace"), _MOST_SHOWN)
        return DataRejected(
            f"Input size exceeded in file {self._name} for record starting with {start} "
            f"(record {number} has {size}, the limit is {self._limits.characters} characters)"
        )


def _batches(records: Iterable[_Numbered]) -> Iterator[list[_Numbered]]:
    batch: list[_Numbered] = []
    characters = 0
    try:
        for record in records:
            batch.append(record)
            characters += record.record.characters
            if characters >= _BATCH_CHARACTERS or len(batch) >= _BATCH_RECORDS:
                yield batch
                batch, characters = [], 0
    except DataRejected:
        # Those in front of the record at fault are judged first.
        yield batch
        raise
    yield batch
