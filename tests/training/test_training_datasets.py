"""Data files: the formats that are taken, and each error of the user guide's troubleshooting."""

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from training_data import LIMITS, QUOTA, read, spec_of, write

from outcrop.training.datasets import DataRejected, read_examples
from outcrop.training.records import BadLine, read_object
from outcrop.training.tokenizer import Tokenizer

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
PAIR = {"input": "what is AWS", "output": "it's amazon web services"}
CONVERSATION = {
    "schemaVersion": "bedrock-conversation-2024",
    "messages": [
        {"role": "user", "content": [{"text": "what is AWS"}]},
        {"role": "assistant", "content": [{"text": "it's amazon web services"}]},
    ],
}
MALFORMED = "Unable to parse Amazon S3 file: train.jsonl. Data files must conform to JSONL format. "
PAIRS = ' Every record must look like {"input": "<input text>", "output": "<output text>"}.'
PROMPTS = (
    "Input data at data/train.jsonl must follow "
    """'{"prompt": "<input text>", "completion": "<output text>"}' format. """
)


def rejection(path: Path, tokenizer: Tokenizer, **spec: Any) -> str:
    with pytest.raises(DataRejected) as caught:
        read(path, tokenizer, **spec)
    return caught.value.message


@pytest.mark.parametrize(
    "record",
    [
        PAIR,
        {"prompt": PAIR["input"], "completion": PAIR["output"]},
        CONVERSATION,
        {
            "messages": [
                {"role": "user", "content": "what is AWS"},
                {"role": "assistant", "content": "it's amazon web services"},
            ]
        },
    ],
    ids=["the guide's", "today's", "conversation", "plain contents"],
)
def test_every_format_gives_the_same_example(
    record: dict[str, Any], tokenizer: Tokenizer, tmp_path: Path
):
    (example,) = read(write(tmp_path, record), tokenizer)
    prompt = "<|im_start|>user\nwhat is AWS<|im_end|>\n<|im_start|>assistant\n"
    assert list(example.prompt) == tokenizer.encode(prompt, special=True)
    answer = tokenizer.encode("it's amazon web services", special=False)
    assert list(example.completion) == [*answer, tokenizer.end_id]


@pytest.mark.parametrize(("name", "records"), [("RUN-092", 3), ("RUN-093", 1), ("RUN-127", 1)])
def test_the_documents_records_are_taken(
    name: str, records: int, tokenizer: Tokenizer, tmp_path: Path
):
    """RUN-127 is printed over several lines: as a record it is one."""
    (found,) = EXAMPLES.glob(f"{name}.json*")
    lines = found.read_bytes().splitlines()
    lines = [b"".join(lines)] if name == "RUN-127" else lines
    examples = read(write(tmp_path, *lines), tokenizer)
    assert len(examples) == records
    assert all(example.prompt and example.completion for example in examples)


def test_continued_pre_training_learns_the_whole_text(tokenizer: Tokenizer, tmp_path: Path):
    path = write(tmp_path, {"input": "AWS is a cloud."})
    (example,) = read(path, tokenizer, kind="CONTINUED_PRE_TRAINING")
    assert example.prompt == ()
    words = tokenizer.encode("AWS is a cloud.", special=False)
    assert list(example.completion) == [*words, tokenizer.end_id]


def test_continued_pre_training_takes_no_answers(tokenizer: Tokenizer, tmp_path: Path):
    assert rejection(write(tmp_path, PAIR), tokenizer, kind="CONTINUED_PRE_TRAINING") == (
        f'{MALFORMED}Record 1 has the key "output", which has no meaning here. '
        'Every record must look like {"input": "<input text>"}.'
    )


def test_lines_may_end_as_windows_ends_them_and_the_last_not_at_all(
    tokenizer: Tokenizer, tmp_path: Path
):
    line = msgspec.json.encode(PAIR)
    path = tmp_path / "train.jsonl"
    path.write_bytes(line + b"\r\n" + line)
    assert len(read(path, tokenizer)) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "Record 2 is an empty line."),
        (b" \t\r", "Record 2 is an empty line."),
        (b'{"input": "a",', "Record 2 is not JSON: "),
        (b"input,output", "Record 2 is not JSON: "),
        (b'{"input": "a", "output": "b"} {}', "Record 2 is not JSON: "),
        (b'{"input": "a\tb", "output": "b"}', "Record 2 is not JSON: "),
        (b'{"input": "a\0b", "output": "b"}', "Record 2 is not JSON: "),
        (b'{"input": "\xe9", "output": "b"}', "Record 2 is not UTF-8."),
        (b'{"input": "\xed\xa0\x80", "output": "b"}', "Record 2 is not UTF-8."),
        (b"[" * 5000, "Record 2 is nested too deep."),
        (b'{"input": ' + b"9" * 5000 + b"}", "Record 2 holds a number that is too large."),
        (b'{"input": NaN}', "Record 2 holds NaN, which is not JSON."),
        (b'["a", "b"]', "Record 2 is not a JSON object."),
        (b'"a"', "Record 2 is not a JSON object."),
        (b'{"input": "a", "input": "b"}', 'Record 2 has the key "input" twice.'),
        (b'{"input": "a"}', f'Record 2 has no "output".{PAIRS}'),
        (b'{"output": "a"}', f'Record 2 has no "input".{PAIRS}'),
        (b"{}", f'Record 2 has no "input".{PAIRS}'),
        (b'{"input": 1, "output": "a"}', f'Record 2 has "input" that is not a string.{PAIRS}'),
        (b'{"input": "a", "output": null}', f'Record 2 has "output" that is not a string.{PAIRS}'),
        (
            b'{"input": "a", "output": ""}',
            f'Record 2 has "output" that is empty: there is nothing to learn from.{PAIRS}',
        ),
        (
            b'{"input": " ", "output": "a"}',
            f'Record 2 has "input" that is empty: there is nothing to learn from.{PAIRS}',
        ),
        (
            b'{"input": "\\ud800", "output": "a"}',
            'Record 2 has "input" with half of a surrogate pair, which is no text.' + PAIRS,
        ),
        (
            b'{"input": "a", "output": "b", "\\u0007id": 1}',
            f'Record 2 has the key "\ufffdid", which has no meaning here.{PAIRS}',
        ),
        (
            b'{"prompt": "a", "completion": "b"}',
            f'Record 2 has the key "prompt", which has no meaning here.{PAIRS}',
        ),
    ],
)
def test_a_line_that_is_no_record_is_named_with_its_file(
    line: bytes, reason: str, tokenizer: Tokenizer, tmp_path: Path
):
    message = rejection(write(tmp_path, PAIR, line, PAIR), tokenizer)
    assert message.startswith(MALFORMED + reason)
    assert reason.endswith(": ") or message == MALFORMED + reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "It is empty."),
        (b"\xef\xbb\xbf" + msgspec.json.encode(PAIR), "It begins with a byte order mark"),
        (msgspec.json.encode(PAIR).decode().encode("utf-16"), "Record 1 is not UTF-8."),
        (msgspec.json.format(msgspec.json.encode(PAIR)), "Record 1 is not JSON: "),
        (b"\n", "Record 1 is an empty line."),
        (msgspec.json.encode(PAIR) + b"\n\n", "Record 2 is an empty line."),
    ],
    ids=["empty", "mark", "utf-16", "several lines", "no record", "blank line at the end"],
)
def test_a_file_that_is_no_jsonl_is_refused(
    content: bytes, reason: str, tokenizer: Tokenizer, tmp_path: Path
):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    assert rejection(path, tokenizer).startswith(MALFORMED + reason)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "a"}, 'Record 2 has no "completion".'),
        ({"prompt": "a", "completion": 1}, 'Record 2 has "completion" that is not a string.'),
        (PAIR, 'Record 2 has the key "input", which has no meaning here.'),
    ],
)
def test_a_file_of_prompts_is_refused_in_the_words_that_todays_service_has(
    record: dict[str, Any], reason: str, tokenizer: Tokenizer, tmp_path: Path
):
    path = write(tmp_path, {"prompt": "a", "completion": "b"}, record)
    assert rejection(path, tokenizer) == PROMPTS + reason


USER = {"role": "user", "content": "hi"}
ASSISTANT = {"role": "assistant", "content": "hello"}


NO_CONVERSATIONS: list[tuple[dict[str, Any], str]] = [
    ({"messages": "hi"}, 'has "messages" that are not a list'),
    ({"messages": []}, "does not end with"),
    ({"messages": [USER]}, "does not end with"),
    ({"messages": [ASSISTANT]}, "does not end with"),
    ({"messages": [USER, ASSISTANT, ASSISTANT]}, "does not end with"),
    ({"messages": ["hi", ASSISTANT]}, "has a message 1 that is not an object"),
    ({"messages": [{"role": "user"}, ASSISTANT]}, 'has no "content"'),
    ({"messages": [{**USER, "role": "system"}, ASSISTANT]}, "has a message 1 whose"),
    ({"messages": [{**USER, "role": ["user"]}, ASSISTANT]}, "has a message 1 whose"),
    ({"messages": [{**USER, "weight": 1}, ASSISTANT]}, 'has the key "weight"'),
    ({"messages": [{**USER, "content": []}, ASSISTANT]}, "has the message 1 without text"),
    ({"messages": [{**USER, "content": [{"image": {}}]}, ASSISTANT]}, "has the message 1 with"),
    ({"messages": [{**USER, "content": [[]]}, ASSISTANT]}, "has the message 1 with content"),
    ({"messages": [{**USER, "content": [{"text": ""}]}, ASSISTANT]}, "has the message 1 that"),
    ({"messages": [USER, ASSISTANT], "system": 5}, 'has "system" without text'),
    ({"messages": [USER, ASSISTANT], "schemaVersion": "2023"}, 'has a "schemaVersion" other'),
]


@pytest.mark.parametrize(("fields", "reason"), NO_CONVERSATIONS)
def test_a_conversation_that_teaches_nothing_is_refused(
    fields: dict[str, Any], reason: str, tokenizer: Tokenizer, tmp_path: Path
):
    message = rejection(write(tmp_path, CONVERSATION, fields), tokenizer)
    assert message.startswith(f"{MALFORMED}Record 2 {reason}")


def sized(words: int, answer: int) -> dict[str, str]:
    """A record of so many tokens: the template adds 9 to the prompt, the end 1 to the answer."""
    return {"input": "a" + " a" * (words - 10), "output": "a" + " a" * (answer - 2)}


def test_a_record_as_large_as_the_limits_is_taken(tokenizer: Tokenizer, tmp_path: Path):
    (example,) = read(write(tmp_path, sized(3000, 1096)), tokenizer)
    assert (len(example.prompt), len(example.completion)) == (3000, 1096)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (sized(4097, 10), "Maximum input token count 4097 exceeds limit of 4096"),
        (sized(20, 4097), "Maximum output token count 4097 exceeds limit of 4096"),
        (
            sized(3000, 1097),
            "Max sum of input and output token length 4097 exceeds total limit of 4096",
        ),
        (sized(4098, 4099), "Maximum input token count 4098 exceeds limit of 4096"),
        (sized(4000, 4099), "Maximum output token count 4099 exceeds limit of 4096"),
    ],
    ids=["input", "output", "sum", "all three", "output and sum"],
)
def test_too_many_tokens_are_told_as_they_are_counted(
    record: dict[str, Any], text: str, tokenizer: Tokenizer, tmp_path: Path
):
    path = write(tmp_path, PAIR, record)
    assert rejection(path, tokenizer) == f"{text} (record 2 in file train.jsonl)"


def test_a_base_with_a_smaller_context_takes_no_more_than_that(
    tokenizer: Tokenizer, tmp_path: Path
):
    message = rejection(write(tmp_path, sized(200, 100)), tokenizer, context_tokens=256)
    assert message.startswith("Max sum of input and output token length 300 exceeds total limit")


def test_texts_of_continued_pre_training_are_counted_as_input(tokenizer: Tokenizer, tmp_path: Path):
    path = write(tmp_path, {"input": "a" + " a" * 4095})
    message = rejection(path, tokenizer, kind="CONTINUED_PRE_TRAINING")
    assert message.startswith("Maximum input token count 4097 exceeds limit of 4096")


def test_a_record_above_the_quota_of_characters_is_told_by_how_it_starts(
    tokenizer: Tokenizer, tmp_path: Path
):
    record = {"input": "what is AWS? " * 1000, "output": " " * 11_576 + "x"}
    assert rejection(write(tmp_path, PAIR, record), tokenizer) == (
        "Input size exceeded in file train.jsonl for record starting with "
        '{"input":"what is AWS? what is AWS? what is AWS? what is AWS '
        "(record 2 has 24577 characters, the limit is 24576 characters)"
    )


def test_a_line_without_end_is_refused_before_it_is_read(tokenizer: Tokenizer, tmp_path: Path):
    path = tmp_path / "train.jsonl"
    with path.open("wb") as file:
        file.write(b'{"input": "')
        # A gigabyte of nothing, which takes no room on the disk.
        file.truncate(2**30)
    message = rejection(path, tokenizer)
    assert message.startswith(
        'Input size exceeded in file train.jsonl for record starting with {"input": "\ufffd\ufffd'
    )


def test_a_line_of_countless_keys_is_told_soon():
    keys = ",".join(f'"{index}":0' for index in range(300_000))
    # Of the CPU's time: compared key by key, these would take most of an hour.
    before = signal.signal(signal.SIGVTALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try:
        with pytest.raises(BadLine, match='has the key "299999" twice'):
            read_object(f'{{{keys},"299999":1}}'.encode())
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_more_records_than_the_quota_are_refused_by_its_name(tokenizer: Tokenizer, tmp_path: Path):
    path = write(tmp_path, PAIR, PAIR, PAIR)
    told = spec_of(path)
    few = msgspec.structs.replace(told.training, most_records=2)
    examples = read_examples(few, told, tokenizer)
    with pytest.raises(DataRejected) as caught:
        list(examples)
    assert caught.value.message == (
        f"File train.jsonl has more records than the quota {QUOTA} allows: 2."
    )


def test_the_first_record_at_fault_is_told_whatever_its_fault(tokenizer: Tokenizer, tmp_path: Path):
    path = write(tmp_path, PAIR, sized(4097, 10), b"nothing")
    assert rejection(path, tokenizer).startswith("Maximum input token count")


def test_examples_come_in_the_order_of_the_file_over_many_batches(
    tokenizer: Tokenizer, tmp_path: Path
):
    records = [{"input": f"number {index}", "output": f"{index}"} for index in range(1200)]
    examples = read(write(tmp_path, *records), tokenizer)
    expected = [tokenizer.encode(str(index), special=False) for index in range(1200)]
    assert [list(example.completion[:-1]) for example in examples] == expected


def test_characters_outside_the_bmp_count_once(tokenizer: Tokenizer, tmp_path: Path):
    limits = msgspec.structs.replace(LIMITS, characters=4)
    path = write(tmp_path, b'{"input": "\\ud83d\\ude00", "output": "\\ud83d\\ude00ab"}')
    assert len(read(path, tokenizer, limits=limits)) == 1
