"""HTML as plain text: blocks become lines, cells are kept apart, scripts and styles are left out.

One pass that never looks back, so that no input costs more than its length: the standard library's
parser takes quadratic time on some.
"""

import html
import re

_OPENING = re.compile("<(?=[a-zA-Z/!?])")
_TAG_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
_IN_TAG = re.compile("[\"'>]")
_SPACE = re.compile(r"[ \t\n\r\f]+")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg"})
_CELLS = frozenset({"td", "th"})
_LINES = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "head", "header", "hr", "li", "main",
    "nav", "ol", "option", "pre", "section", "table", "tbody", "tfoot", "thead", "title", "tr",
    "ul",
})  # fmt: skip
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})


def markup_text(source: str) -> str:
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._lower = source.lower() if source.isascii() else _ascii_lower(source)
        self._position = 0
        self._pieces: list[str] = []
        self._preformatted = 0

    def read(self) -> str:
        while found := _OPENING.search(self._source, self._position):
            self._text(self._source[self._position : found.start()])
            self._markup(found.end())
        self._text(self._source[self._position :])
        lines = "".join(self._pieces).split("\n")
        return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip(" ") for line in lines)).strip()

    def _text(self, text: str) -> None:
        if not self._preformatted:
            text = _SPACE.sub(" ", text)
            if not self._pieces or self._pieces[-1].endswith("\n"):
                text = text.removeprefix(" ")
        if text:
            self._pieces.append(html.unescape(text))

    def _markup(self, start: int) -> None:
        if self._source.startswith("!--", start):
            self._position = self._after("-->", start + 3)
            return
        name = _TAG_NAME.match(self._source, start)
        if name is not None:
            self._tag(name[1].lower(), is_end=self._source[start] == "/", start=name.end())
        else:
            self._position = self._after(">", start)

    def _tag(self, name: str, *, is_end: bool, start: int) -> None:
        self._position = self._tag_end(start)
        if name in _HIDDEN and not is_end:
            self._position = self._after(f"</{name}", self._position)
            self._position = self._after(">", self._position)
        elif name in _CELLS and not is_end:
            self._pieces.append(" | ")
        elif name in _PARAGRAPHS:
            self._pieces.append("\n\n")
        elif name in _LINES:
            self._pieces.append("\n- " if name == "li" and not is_end else "\n")
        if name == "pre":
            self._preformatted = 0 if is_end else 1

    def _tag_end(self, position: int) -> int:
        """Behind the ``>`` that ends the tag; one in a quoted value does not."""
        while found := _IN_TAG.search(self._source, position):
            position = found.end()
            if found[0] == ">":
                return position
            if self._source[found.start() - 1] == "=":
                position = self._after(found[0], position)
        return len(self._source)

    def _after(self, text: str, position: int) -> int:
        """Behind the next ``text``; without one, the end: what is left open hides the rest."""
        found = self._lower.find(text, position)
        return len(self._source) if found < 0 else found + len(text)


def _ascii_lower(text: str) -> str:
    """Of the same length as ``text``, which ``str.lower`` does not promise."""
    return text.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
