"""JSON Schema → GBNF, the grammar notation of llama.cpp.

The grammar accepts only JSON in one fixed spacing, so that a small model cannot loop in white
space, and never more than the schema means where it can tell; what it cannot tell (minimum,
uniqueItems, not, if, …) is checked on the finished value by ``schemas.explain``. Properties come
in the schema's order; one the schema does not name only where ``additionalProperties`` says so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from outcrop.prompting.errors import SchemaUnsupported
from outcrop.prompting.patterns import ANY, MAX_REPEAT, to_gbnf
from outcrop.prompting.schemas import explain, has_pattern

Schema = Mapping[str, Any]

MAX_RULES = 4_000
MAX_EXTRA_PROPERTIES = 16
ANY_VALUE_DEPTH = 5

_STRING_CHAR = rf'({ANY} | "\\" ["\\/bfnrt])'
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
# Their patterns would be neither in the grammar nor checked after it.
_CHECKED_AFTER = (
    "not", "if", "then", "else", "contains", "dependentSchemas", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip


def literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


class Grammar:
    """The rules of one grammar under construction; ``rule`` names a body once, however often."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._rules: dict[str, str] = {}

    def rule(self, body: str, name: str | None = None) -> str:
        if name is None and body in self._names:
            return self._names[body]
        if len(self._rules) >= MAX_RULES:
            raise SchemaUnsupported(f"the schema needs more than {MAX_RULES} grammar rules")
        name = name or f"r{len(self._rules)}"
        self._rules[name] = body
        if body:
            self._names.setdefault(body, name)
        return name

    def reserve(self) -> str:
        """A name whose body follows later: what refers to itself needs one."""
        return self.rule("", f"r{len(self._rules)}")

    def define(self, name: str, body: str) -> None:
        self._rules[name] = body

    def schema(self, schema: Schema) -> str:
        """The name of a rule for the JSON values of ``schema``, a root schema of its own."""
        return _Compiler(self, schema).compile(schema)

    def render(self) -> str:
        return "".join(f"{name} ::= {body}\n" for name, body in self._rules.items())


class _Compiler:
    """One root schema: what ``$ref`` points into."""

    def __init__(self, grammar: Grammar, root: Schema) -> None:
        self._grammar = grammar
        self._root = root
        self._references: dict[str, str] = {}
        self._open: set[str] = set()

    def compile(self, schema: Any) -> str:
        if schema is True:
            return self._any(ANY_VALUE_DEPTH)
        if schema is False:
            raise SchemaUnsupported("the schema demands a value that nothing can be")
        if "$ref" in schema and not _siblings(schema):
            return self._reference(schema["$ref"])
        schema = self._flat(schema)
        _refuse_unchecked_patterns(schema)
        if "const" in schema or "enum" in schema:
            return self._constants(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._alternatives(schema, keyword)
        return self._choice([self._typed(kind, schema) for kind in _kinds(schema)])

    def _reference(self, reference: str) -> str:
        if reference not in self._references:
            if reference in self._open:
                raise SchemaUnsupported(f"{reference!r} refers to itself without end")
            self._open.add(reference)
            name = self._references[reference] = self._grammar.reserve()
            target = self._resolve(reference)
            self._forbid_empty_cycle(reference, target)
            self._grammar.define(name, self.compile(target))
        return self._references[reference]

    def _forbid_empty_cycle(
        self, reference: str, target: Any, seen: frozenset[str] = frozenset()
    ) -> None:
        """A schema that reaches itself through references and alternatives alone has no value."""
        seen |= {reference}
        for nested in _immediate(target):
            if nested in seen:
                raise SchemaUnsupported(f"{reference!r} refers to itself without end")
            self._forbid_empty_cycle(nested, self._resolve(nested), seen)

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaUnsupported(f"the reference {reference!r} leaves the schema")
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaUnsupported(f"the reference {reference!r} is not a JSON pointer")
        node: Any = self._root
        for step in reference.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = cast(Schema, node)[key]
            elif (
                isinstance(node, list) and key.isdecimal() and int(key) < len(cast(list[Any], node))
            ):
                node = cast(list[Any], node)[int(key)]
            else:
                raise SchemaUnsupported(f"the reference {reference!r} leads nowhere")
        if not isinstance(node, Mapping | bool):
            raise SchemaUnsupported(f"the reference {reference!r} leads to no schema")
        return cast(Any, node)

    def _flat(self, schema: Schema, depth: int = 0) -> Schema:
        """``allOf`` and a ``$ref`` with siblings, merged into one schema."""
        if depth > 32:
            raise SchemaUnsupported("allOf or $ref is nested more than 32 levels deep")
        parts = list(schema.get("allOf", ()))
        if "$ref" in schema:
            parts.append(self._resolve(schema["$ref"]))
        merged = {key: value for key, value in schema.items() if key not in ("allOf", "$ref")}
        for part in parts:
            if part is False:
                raise SchemaUnsupported("the schema demands a value that nothing can be")
            if part is not True:
                merged = _merge(merged, self._flat(part, depth + 1))
        return merged

    def _constants(self, schema: Schema) -> str:
        values: Sequence[Any] = [schema["const"]] if "const" in schema else schema["enum"]
        rest = {**schema, "$defs": self._root.get("$defs", {})}
        if not has_pattern(rest):
            values = [value for value in values if explain(value, rest) is None]
        if not values:
            raise SchemaUnsupported("no value of the schema's enum satisfies the rest of it")
        return self._choice([literal(json.dumps(value, ensure_ascii=False)) for value in values])

    def _alternatives(self, schema: Schema, keyword: str) -> str:
        rest = {key: value for key, value in schema.items() if key != keyword}
        branches: list[str] = []
        for branch in schema[keyword]:
            if branch is False:
                continue
            whole = self._merged(rest, branch) if rest else branch
            branches.append(self.compile(whole))
        if not branches:
            raise SchemaUnsupported(f"no alternative of {keyword} can be satisfied")
        return self._choice(branches)

    def _merged(self, rest: Schema, branch: Any) -> Schema:
        return rest if branch is True else _merge(rest, self._flat(branch))

    def _choice(self, bodies: Sequence[str]) -> str:
        return self._grammar.rule(" | ".join(dict.fromkeys(bodies)))

    def _typed(self, kind: str, schema: Schema) -> str:
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self._grammar.rule('"true" | "false"')
            case _:
                return '"null"'

    def _string(self, schema: Schema) -> str:
        if "pattern" in schema:
            return self._grammar.rule(f'"\\"" {to_gbnf(schema["pattern"])} "\\""')
        char = self._grammar.rule(_STRING_CHAR)
        counts = _counts(schema.get("minLength", 0), schema.get("maxLength"))
        return self._grammar.rule(f'"\\"" {char}{counts} "\\""')

    def _integer(self, schema: Schema) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, int) and isinstance(high, int) and 0 <= high - low < MAX_REPEAT:
            return self._choice([literal(str(number)) for number in range(low, high + 1)])
        return self._grammar.rule(f'{_sign(schema)}("0" | [1-9] [0-9]{{0,15}})')

    def _number(self, schema: Schema) -> str:
        return self._grammar.rule(
            f'{_sign(schema)}("0" | [1-9] [0-9]{{0,15}}) ("." [0-9]{{1,16}})? '
            f"([eE] [-+]? [0-9]{{1,2}})?"
        )

    def _array(self, schema: Schema) -> str:
        first = [self.compile(item) for item in schema.get("prefixItems", ())]
        low, high = int(schema.get("minItems", 0)), schema.get("maxItems")
        items = schema.get("items", not first)
        more = "" if items is False or high == 0 else self.compile(items)
        if high is not None:
            first = first[: int(high)]
        elements = _elements(first, more, low, None if high is None else int(high))
        return self._grammar.rule(f'"[" {elements} "]"')

    def _object(self, schema: Schema) -> str:
        properties: dict[str, Any] = dict(schema.get("properties", {}))
        required = set(schema.get("required", ()))
        extra = schema.get("additionalProperties", not properties)
        for name in schema.get("required", ()):
            properties.setdefault(name, extra if extra is not False else False)
        pairs = [
            (self._pair(name, value), name in required)
            for name, value in properties.items()
            if value is not False or name in required
        ]
        more = "" if extra is False else self._extra(extra)
        return self._grammar.rule(f'"{{" {self._members(pairs, more)} "}}"')

    def _pair(self, name: str, schema: Any) -> str:
        key = json.dumps(name, ensure_ascii=False)
        return self._grammar.rule(f"{literal(key + ': ')} {self.compile(schema)}")

    def _extra(self, schema: Any) -> str:
        key = self._string({"minLength": 1, "maxLength": 64})
        return self._grammar.rule(f'{key} ": " {self.compile(schema)}')

    def _members(self, pairs: Sequence[tuple[str, bool]], more: str) -> str:
        """Members in order; each rule stands for what may follow once one has been written."""
        following = f'(", " {more}){{0,{MAX_EXTRA_PROPERTIES}}}' if more else '""'
        leading = f"({more} {following})?" if more else '""'
        for pair, is_required in reversed(pairs):
            after = self._grammar.rule(following)
            if is_required:
                leading = f"{pair} {after}"
                following = f'", " {pair} {after}'
            else:
                leading = f"{pair} {after} | {self._grammar.rule(leading)}"
                following = f'(", " {pair})? {after}'
        return self._grammar.rule(leading)

    def _any(self, depth: int) -> str:
        scalar = [self._typed(kind, {}) for kind in ("string", "number", "boolean", "null")]
        if depth == 0:
            return self._choice(scalar)
        inner = self._any(depth - 1)
        array = self._grammar.rule(f'"[" {_elements([], inner, 0, MAX_EXTRA_PROPERTIES)} "]"')
        key = self._string({"minLength": 1, "maxLength": 64})
        pair = self._grammar.rule(f'{key} ": " {inner}')
        return self._choice(
            [*scalar, array, self._grammar.rule(f'"{{" {self._members([], pair)} "}}"')]
        )


def _merge(left: Schema, right: Schema) -> dict[str, Any]:
    merged = {**right, **left}
    for keyword in ("properties", "$defs", "definitions"):
        if keyword in left and keyword in right:
            merged[keyword] = _merge_properties(left[keyword], right[keyword])
    if "required" in left and "required" in right:
        merged["required"] = list(dict.fromkeys([*left["required"], *right["required"]]))
    for keyword in ("anyOf", "oneOf", "pattern"):
        if keyword in left and keyword in right and left[keyword] != right[keyword]:
            raise SchemaUnsupported(f"two schemas joined by allOf or $ref both have {keyword}")
    return merged


def _merge_properties(left: Schema, right: Schema) -> dict[str, Any]:
    merged = {**right, **left}
    for name in left.keys() & right.keys():
        if left[name] != right[name]:
            merged[name] = {"allOf": [left[name], right[name]]}
    return merged


def _siblings(schema: Schema) -> bool:
    annotations = {"$ref", "$defs", "definitions", "title", "description", "default", "examples"}
    return bool(schema.keys() - annotations)


def _immediate(schema: Any) -> Iterator[str]:
    """References reached without any JSON being written."""
    if not isinstance(schema, Mapping):
        return
    node = cast(Schema, schema)
    if "$ref" in node:
        yield node["$ref"]
    for keyword in ("anyOf", "oneOf", "allOf"):
        for branch in node.get(keyword, ()):
            yield from _immediate(branch)


def _kinds(schema: Schema) -> Sequence[str]:
    if "type" in schema:
        kinds: Sequence[str] = (
            [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        )
        return kinds
    implied = [kind for kind, words in _IMPLIED.items() if any(word in schema for word in words)]
    return implied or [kind for kind in _TYPES if kind != "integer"]


def _refuse_unchecked_patterns(schema: Schema) -> None:
    if "patternProperties" in schema:
        raise SchemaUnsupported("patternProperties is not supported")
    for keyword in _CHECKED_AFTER:
        if keyword in schema and has_pattern(schema[keyword]):
            raise SchemaUnsupported(f"a pattern inside {keyword} is not supported")


def _sign(schema: Schema) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    return "" if low is not None and low >= 0 else '"-"? '


def _counts(low: float, high: float | None) -> str:
    if low > MAX_REPEAT:
        raise SchemaUnsupported(f"minLength and minItems above {MAX_REPEAT} are not supported")
    if high is None or high > MAX_REPEAT:
        return f"{{{int(low)},}}"
    if high < low:
        raise SchemaUnsupported("a schema's maximum length is below its minimum length")
    return f"{{{int(low)},{int(high)}}}"


def _elements(first: Sequence[str], more: str, low: int, high: int | None) -> str:
    """The inside of an array: ``first`` one by one, then ``more``, all with commas between."""
    tail = ""
    if more:
        rest_low = max(low - max(len(first), 1), 0)
        rest_high = None if high is None else max(high - max(len(first), 1), 0)
        tail = f'(", " {more}){_counts(rest_low, rest_high)}'
    if not first:
        if not more:
            return '""'
        whole = f"{more} {tail}"
        return whole if low > 0 else f"({whole})?"
    expression = tail
    for position, item in reversed(list(enumerate(first))):
        comma = '", " ' if position else ""
        expression = f"{comma}{item} {expression}".strip()
        if position >= low:
            expression = f"({expression})?"
    return expression
