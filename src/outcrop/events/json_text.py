"""JSON that callers write by hand: patterns and templates, with errors that say where they are."""

import json
import re
from typing import Any, Final, NoReturn

_TOKEN: Final = re.compile(r"[\w$]+")
_MOST_SHOWN: Final = 500


class InvalidJson(Exception):
    pass


def read_json(text: str) -> Any:
    """Of several members of one name the last holds."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidJson(_describe(text, error)) from error
    except RecursionError as error:
        raise InvalidJson("It is nested too deeply") from error
    except ValueError as error:
        # NaN and Infinity, or a number of thousands of digits.
        raise InvalidJson(str(error)) from error


def write_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{name}'")


def _describe(text: str, error: json.JSONDecodeError) -> str:
    token = _TOKEN.match(text, error.pos)
    if token is not None and error.msg == "Expecting value":
        column = error.colno + len(token.group())
        said = (
            f"Unrecognized token '{token.group()}': was expecting (JSON String, Number, Array, "
            "Object or token 'null', 'true' or 'false')"
        )
    elif error.pos >= len(text):
        column, said = error.colno, "Unexpected end-of-input"
    else:
        column = error.colno + 1
        character = text[error.pos]
        said = f"Unexpected character ('{character}' (code {ord(character)})): {error.msg}"
    shown = text[:_MOST_SHOWN]
    return f'{said}\n at [Source: (String)"{shown}"; line: {error.lineno}, column: {column}]'
