"""Regular expressions of ``pattern`` as GBNF for the inside of a JSON string.

The subset is what describes a plain language: literals, classes, groups, alternatives, quantifiers
and anchors at both ends. Look-around, back-references and the like raise SchemaUnsupported.
"""

from outcrop.prompting.errors import SchemaUnsupported

MAX_REPEAT = 256

ANY = r'[^"\\\x00-\x1F\x7F]'
_CLASSES = {
    "d": "0-9",
    "w": "A-Za-z0-9_",
    # Inside JSON text the other white space would have to be escaped; a subset is still faithful.
    "s": " ",
}
_NEGATED = {name: f'[^"\\\\\\x00-\\x1F\\x7F{inside}]' for name, inside in _CLASSES.items()}
_ESCAPABLE = set(r"\^$.|?*+()[]{}/-'\"&%#@!~`=:;,<>_ ")


def to_gbnf(pattern: str) -> str:
    """A GBNF expression for the strings in which ``pattern`` is found."""
    parser = _Parser(pattern)
    expression = parser.top()
    if parser.rest():
        raise SchemaUnsupported(f"the pattern {pattern!r} cannot be read at {parser.rest()!r}")
    return expression


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def rest(self) -> str:
        return self._pattern[self._at :]

    def top(self) -> str:
        alternatives = [self._anchored()]
        while self._take("|"):
            alternatives.append(self._anchored())
        return f"({' | '.join(alternatives)})"

    def _anchored(self) -> str:
        before = "" if self._take("^") else f"{ANY}* "
        inside = self._sequence()
        after = "" if self._take("$") else f" {ANY}*"
        return f"{before}{inside}{after}"

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            raise self._unsupported("look-around and named groups")
        self._depth += 1
        if self._depth > 20:
            raise self._unsupported("more than 20 nested groups")
        alternatives = [self._sequence()]
        while self._take("|"):
            alternatives.append(self._sequence())
        if not self._take(")"):
            raise self._unsupported("an open group or an anchor inside a group")
        self._depth -= 1
        return f"({' | '.join(alternatives)})"

    def _sequence(self) -> str:
        items: list[str] = []
        while self._peek() not in ("", "|", ")", "$"):
            atom = self._atom()
            items.append(atom + self._quantifier())
        return " ".join(items) or '""'

    def _atom(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            return ANY
        if char == "\\":
            return self._escape()
        if char in "*+?{}^":
            raise self._unsupported(f"{char!r} at this place")
        return _literal(char)

    def _escape(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return f"[{_CLASSES[char]}]"
        if char.lower() in _NEGATED and char:
            return _NEGATED[char.lower()]
        if char in _ESCAPABLE:
            return _literal(char)
        raise self._unsupported(f"\\{char}")

    def _quantifier(self) -> str:
        char = self._peek()
        if char and char in "*+?":
            quantifier = self._next()
        elif char == "{":
            quantifier = self._counts()
        else:
            return ""
        self._take("?")  # a lazy quantifier accepts the same strings
        if self._peek() and self._peek() in "*+?{":
            raise self._unsupported("a quantifier of a quantifier")
        return quantifier

    def _counts(self) -> str:
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : end].partition(",")
        digits = f"{low}{high or 0}"
        if end < 0 or not low or not (digits.isascii() and digits.isdigit()):
            raise self._unsupported("a brace that holds no count")
        if max(int(low), int(high or 0)) > MAX_REPEAT:
            raise self._unsupported(f"a count above {MAX_REPEAT}")
        if high and int(high) < int(low):
            raise self._unsupported("a count whose end is below its start")
        self._at = end + 1
        return f"{{{int(low)}{comma}{int(high) if high else ''}}}"

    def _class(self) -> str:
        negated = self._take("^")
        inside: list[str] = []
        while not self._take("]"):
            if self._peek() == "":
                raise self._unsupported("an open character class")
            inside.append(self._class_item())
        if not inside:
            raise self._unsupported("an empty character class")
        body = "".join(inside)
        return f'[^"\\\\\\x00-\\x1F\\x7F{body}]' if negated else f"[{body}]"

    def _class_item(self) -> str:
        low = self._class_char()
        if len(low) > 1:
            return _CLASSES[low[1]]
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in ("]", ""):
            return _class_literal(low)
        self._at += 1
        high = self._class_char()
        if len(high) > 1 or high < low:
            raise self._unsupported("this range of characters")
        # The two characters JSON escapes must not slip in by a range that spans them.
        if any(low <= char <= high for char in '"\\') or low < " ":
            raise self._unsupported("a range with quotes, backslashes or control characters")
        return f"{_class_literal(low)}-{_class_literal(high)}"

    def _class_char(self) -> str:
        """One character, or ``\\d`` and the like as two."""
        char = self._next()
        if char != "\\":
            return self._plain(char)
        char = self._next()
        if char in _CLASSES:
            return "\\" + char
        if char in _ESCAPABLE:
            return self._plain(char)
        raise self._unsupported(f"\\{char} in a class")

    def _plain(self, char: str) -> str:
        if char in '"\\' or char < " ":
            raise self._unsupported("quotes, backslashes and control characters in a class")
        return char

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _unsupported(self, what: str) -> SchemaUnsupported:
        return SchemaUnsupported(f"the pattern {self._pattern!r} uses {what}")


def _literal(char: str) -> str:
    if not char or char < " " or "\ud800" <= char <= "\udfff":
        raise SchemaUnsupported("a pattern ends in a backslash or holds a control character")
    return {'"': r'"\\\""', "\\": r'"\\\\"'}.get(char, f'"{char}"')


def _class_literal(char: str) -> str:
    return f"\\{char}" if char in "[]" else f"\\x{ord(char):02X}" if char in "^-" else char
