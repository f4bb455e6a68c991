"""EC2's lists: by ID, by filter (``*`` and ``?`` stand for any characters), a page at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.ec2.requests import Params, Result, check_id, invalid, list_own, not_found
from outcrop.stores.resources import Item, Record
from outcrop.wire.paging import page

T = TypeVar("T")
R = TypeVar("R", bound=Record)

Values = Callable[[T], Iterable[str]]
"""What a filter compares of one thing."""

_PAGE: Final = 1000
_MAX_VALUES: Final = 200
_TAG: Final = "tag:"


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """``ids`` is the member of the request that names some, ``filters`` what may be asked of each
    besides its tags, by the filter's name."""

    type: type[R]
    ids: str
    filters: Mapping[str, Values[Item[R]]]
    render: Callable[[Item[R]], Result]


async def describe(call: Call, params: Params, listing: Listing[R]) -> Result:
    async with call.stores.resources.reading() as view:
        items = await list_own(view, call, listing.type)
    return describe_items(call, params, listing, items)


def describe_items(
    call: Call, params: Params, listing: Listing[R], items: Sequence[Item[R]]
) -> Result:
    chosen = _by_id(params.get(listing.ids), listing.type, items)
    filters: Mapping[str, Values[Item[R]]] = {
        "owner-id": lambda item: [item.place.account],
        "tag-key": lambda item: item.tags,
        **listing.filters,
    }
    kept = filtered(params, chosen, filters, tags_of=lambda item: item.tags)
    return paged(call, params, [listing.render(item) for item in kept])


def paged(call: Call, params: Params, items: Sequence[Any]) -> Result:
    return page(call.operation, params, items, default_limit=_PAGE)


def _by_id(ids: Sequence[str] | None, type: type[R], items: Sequence[Item[R]]) -> Sequence[Item[R]]:
    if not ids:
        return items
    by_id = {item.name: item for item in items}
    for each in ids:
        check_id(type, each)
        if each not in by_id:
            raise not_found(type, each)
    return [by_id[each] for each in dict.fromkeys(ids)]


def filtered(
    params: Params,
    items: Iterable[T],
    filters: Mapping[str, Values[T]],
    *,
    tags_of: Callable[[T], Mapping[str, str]] | None = None,
    member: str = "Filters",
) -> list[T]:
    """Those that fit every filter of the request, each by any of its values."""
    kept = list(items)
    asked: Sequence[Mapping[str, Any]] = params.get(member) or ()
    if sum(len(each.get("Values", ())) for each in asked) > _MAX_VALUES:
        raise ServiceError(
            "FilterLimitExceeded", f"A request filters by at most {_MAX_VALUES} values."
        )
    for each in asked:
        name, patterns = each.get("Name", ""), each.get("Values", ())
        values = _values(name, filters, tags_of)
        kept = [item for item in kept if fits(values(item), patterns)]
    return kept


def _values(
    name: str,
    filters: Mapping[str, Values[T]],
    tags_of: Callable[[T], Mapping[str, str]] | None,
) -> Values[T]:
    if name.startswith(_TAG) and tags_of is not None:
        key = name.removeprefix(_TAG)
        return lambda item: [tags_of(item)[key]] if key in tags_of(item) else []
    if name not in filters:
        raise invalid(f"The filter '{name}' is invalid")
    return filters[name]


def fits(values: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(matches(pattern, value) for value in values for pattern in patterns)


def matches(pattern: str, text: str) -> bool:
    """Case counts; a backslash takes the meaning of ``*``, ``?`` and itself away."""
    tokens = _tokens(pattern)
    at = position = 0
    star, resume = -1, 0
    while position < len(text):
        if at < len(tokens) and tokens[at] is _ANY:
            star, resume = at, position
            at += 1
        elif at < len(tokens) and tokens[at] in (_ONE, text[position]):
            at += 1
            position += 1
        elif star >= 0:
            # The last star takes one character more.
            at, resume = star + 1, resume + 1
            position = resume
        else:
            return False
    return all(token is _ANY for token in tokens[at:])


class _Wildcard:
    pass


_ANY, _ONE = _Wildcard(), _Wildcard()


def _tokens(pattern: str) -> list[str | _Wildcard]:
    tokens: list[str | _Wildcard] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            tokens.append(next(characters, "\\"))
        else:
            tokens.append({"*": _ANY, "?": _ONE}.get(character, character))
    return tokens


def truth(value: bool) -> list[str]:
    return ["true" if value else "false"]
