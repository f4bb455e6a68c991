"""Recorded exchanges that Outcrop answers otherwise, one by one, with the reason; and recordings
that are not what the service was asked, or answered, with the evidence.

Every entry is tested to be needed: what comes to agree must leave the table.
"""

from typing import Final

# Refused by a sentence that holds these words, where the service answered: what is not built is
# never ignored (design D12).
NOT_BUILT: Final[dict[str, tuple[str, ...]]] = {
    # It asks for a guardrail too; its profile's ARN is of an account that here is another's.
    "The provided model identifier is invalid.": ("d33d1d1cfadf3dbb",),
    "the guardrailConfig field": (
        "67fb1a6ab120583c",
        "dce4b3bead07891e",
        "ed3744f0b9978f54",
        "9ed650ee2bdb6c7c",
        "0d9bdf81acd8e5b0",
    ),
    "Guardrails are not available": (
        "774fe7d495e970c2",
        "5a1ba16494800b4a",
        "4b843893c5f9719a",
    ),
    "systemTool field": (
        "110e919bb59629af",
        "91244682f9842e86",
        "96117a309a4127e5",
        "d49b9f27e13c1b3e",
    ),
}
_DROPPED: Final = "AWS dropped a tool's document unsaid: Claude saw nothing; Outcrop refuses it"
EXCEPTIONS: Final[dict[str, str]] = {
    "b70e0d63eef4bc99": _DROPPED,
    "a6f91aebd758a80d": "an engine tells what its cache did at the end, AWS at the start",
    "7ef937747ece9287": "an empty piece ends the thought, and the end repeats the prompt's counts",
    "bf594bb1506c0c36": "AWS has withdrawn the model since; Outcrop serves it on",
    "c3b2d4f07fa8d028": "the token that ended the answer has its ID only in AI21's tokenizer",
    "f7515335c70a5b73": "the console's own, longer list; tests/catalog holds what is public",
}
_TWO_COUNTS: Final = "until 2025 the metrics of a Claude stream counted fewer tokens than its usage"
_OLD_NAME: Final = "in spring 2024 the model's name held its context size"
# A member whose value differs while everything else, its type too, is as recorded.
OTHER_VALUES: Final[dict[str, tuple[str, str]]] = {
    "3e1d85839cfc19a7": ("outputTokenCount", _TWO_COUNTS),
    "2298ade75dc5f207": ("outputTokenCount", _TWO_COUNTS),
    "b8d77d0b2194a7ff": ("outputTokenCount", _TWO_COUNTS),
    "051ffbb9585be08a": ("outputTokenCount", _TWO_COUNTS),
    "2bdbd1e5999fe848": ("model", _OLD_NAME),
    "dd84efad49bc007f": ("model", _OLD_NAME),
    "41549f985dd7c918": ("contentBlockIndex", "Nova left out an index before its tool use"),
    "a35fdce6a729abf4": (
        "serviceTier",
        "default was asked for and flex served; ours serves default",
    ),
}

_TITANS: Final = (
    "the sentence is that of Titan's answer 17cf4fd41915c5d2, under another model's name; "
)
_NO_HEADERS: Final = "the headers of latency and counts, which every answer of it has, are missing"
_SHORTER: Final = "the body is shorter than its Content-Length by just the usage that is missing"
_NO_JSON: Final = "the request is no JSON, which AWS answers with 400; the recording says 200"
# Our status, and why the body is none of the service's: its recorder wrote, trimmed or cut it.
NOT_AS_RECORDED: Final[dict[str, tuple[int, str]]] = {
    "2fadee5ce7c9e879": (
        200,
        "request ID and text are those of 17cf4fd41915c5d2: the answer was rewritten, counts too",
    ),
    "275de63b617dc0c5": (400, _TITANS + _NO_HEADERS),
    "cae4973988fe88a6": (200, _TITANS + _NO_HEADERS),
    "b3e07fc7063bd0be": (200, _TITANS + "a completion for a body of messages"),
    "1be4f05b87b53c06": (403, _TITANS + "its headers are those of a key that was refused"),
    "e9cbe94cf86ab01c": (200, "the body has 91 bytes, its Content-Length is 193: usage is missing"),
    "7bf41ad28bcbe641": (200, _SHORTER),
    "7acf2fa0f094468c": (400, _NO_JSON),
    "5d8193f8f2fea1e2": (400, _NO_JSON),
}
