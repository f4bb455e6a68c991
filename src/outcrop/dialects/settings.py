"""A family's request settings as tables: each member's schema, its default and what it means.

Where the catalog gives a member's range or default, the catalog's counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec.structs import replace

from outcrop.catalog.model import Model
from outcrop.dialects import schema
from outcrop.errors import ValidationException
from outcrop.generation import Generation, ReasoningRequest, Sampling

EFFORTS: Final = ("low", "medium", "high")
_OF_SAMPLING: Final = frozenset(Sampling.__struct_fields__)


def unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Setting:
    """One member of a body. ``into`` names the field of Sampling or Generation that ``read`` of
    its value is written to; without a default an absent member leaves that field alone. Models
    without the capability ``needs`` do not know the member."""

    into: str
    schema: Mapping[str, Any]
    default: Any = None
    read: Callable[[Any], Any] = unchanged
    needs: str | None = None


Table = Mapping[str, Setting]


class Extend(Protocol):
    """A dialect's ``extend``."""

    def __call__(
        self, generation: Generation, fields: Mapping[str, Any], model: Model
    ) -> Generation: ...


def number(
    into: str,
    least: float,
    most: float,
    fallback: float | None = None,
    read: Callable[[Any], Any] = unchanged,
) -> Setting:
    return Setting(into, {"type": "number", "minimum": least, "maximum": most}, fallback, read)


def integer(
    into: str,
    least: int,
    most: int,
    fallback: int | None = None,
    read: Callable[[Any], Any] = unchanged,
) -> Setting:
    return Setting(into, {"type": "integer", "minimum": least, "maximum": most}, fallback, read)


def tokens(least: int, fallback: int | None = None) -> Setting:
    """The most tokens of an answer; the catalog's range, else the model's own limit, bounds it."""
    return Setting("max_tokens", {"type": "integer", "minimum": least}, fallback)


def stops(most: int | None = None) -> Setting:
    rule: dict[str, Any] = {"type": "array", "items": {"type": "string", "minLength": 1}}
    if most is not None:
        rule["maxItems"] = most
    return Setting("stop_sequences", rule, read=tuple)


def effort() -> Setting:
    """How hard a model that reasons shall think."""
    rule = {"type": "string", "enum": EFFORTS}
    return Setting("reasoning", rule, read=_with_effort, needs="reasoning")


def _with_effort(effort: str) -> ReasoningRequest:
    return ReasoningRequest(effort=effort)


def off_at_one(share: float) -> float | None:
    return None if share == 1 else share


def off_at_zero(count: int) -> int | None:
    return count or None


def off_at_ends(share: float) -> float | None:
    return None if share in (0, 1) else share


def properties(table: Table, model: Model) -> dict[str, Any]:
    """The schemas of the table's members for this model."""
    known = {
        name: each
        for name, each in table.items()
        if each.needs is None or each.needs in model.supports
    }
    built = {name: schema.limits(model, name, **each.schema) for name, each in known.items()}
    for name, each in known.items():
        if each.into == "max_tokens":
            built[name].setdefault("maximum", model.max_output_tokens)
    return built


def closed(members: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """The schema of an object with these members and no others."""
    rule = {"type": "object", "properties": members, "additionalProperties": False}
    return {**rule, "required": list(required)} if required else rule


def body_schema(
    table: Table, others: Mapping[str, Any], *required: str
) -> Callable[[Model], dict[str, Any]]:
    """What a body may hold: the table's members and ``others``."""
    return schema.per_model(lambda model: closed({**others, **properties(table, model)}, *required))


def settled(
    generation: Generation, table: Table, model: Model, body: Mapping[str, Any]
) -> Generation:
    """``generation`` with the body's settings, and the defaults of those it leaves out."""
    defaults = {
        name: schema.default(model, name, each.default)
        for name, each in table.items()
        if name not in body
    }
    given = {name: value for name, value in defaults.items() if value is not None}
    return applied(generation, table, {**given, **body})


def extended(table: Table) -> Extend:
    """A family's ``extend``: fields of the table change the generation, others are refused."""
    rules = body_schema(table, {})

    def extend(generation: Generation, fields: Mapping[str, Any], model: Model) -> Generation:
        schema.check(rules(model), dict(fields))
        return applied(generation, table, fields)

    return extend


def applied(generation: Generation, table: Table, values: Mapping[str, Any]) -> Generation:
    sampling: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for name, each in table.items():
        if name in values:
            target = sampling if each.into in _OF_SAMPLING else changes
            target[each.into] = each.read(values[name])
    if sampling:
        changes["sampling"] = replace(generation.sampling, **sampling)
    return replace(generation, **changes)


def not_honoured(name: str, value: Any, instead: str) -> ValidationException:
    """The refusal of a value that is valid for the model and that Outcrop cannot act on."""
    return ValidationException(
        f"The value {value!r} of {name} cannot be honoured in this deployment. {instead}"
    )
