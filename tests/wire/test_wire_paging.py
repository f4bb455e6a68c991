"""Pages: every item once, tokens that only their own request takes back."""

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from outcrop.errors import ValidationException
from outcrop.wire.paging import NotPaginated, page
from outcrop.wire.spec import load_service
from outcrop.wire.validate import validate

MODELS = load_service("bedrock").operations["ListCustomModels"]
ITEMS = [{"modelName": str(number)} for number in range(25)]


@given(st.integers(1, 30))
def test_following_the_tokens_gives_every_item_once(limit: int) -> None:
    params: dict[str, Any] = {"maxResults": limit}
    seen: list[Any] = []
    while True:
        result = page(MODELS, params, ITEMS)
        assert 0 < len(result["modelSummaries"]) <= limit
        seen += result["modelSummaries"]
        if "nextToken" not in result:
            break
        params = {**params, "nextToken": result["nextToken"]}
        validate(MODELS, params)
    assert seen == ITEMS


def test_a_list_that_fits_has_no_token() -> None:
    assert page(MODELS, {}, ITEMS) == {"modelSummaries": ITEMS}
    assert page(MODELS, {}, []) == {"modelSummaries": []}


def test_a_default_limit_counts_when_none_is_asked_for() -> None:
    assert len(page(MODELS, {}, ITEMS, default_limit=10)["modelSummaries"]) == 10


@pytest.mark.parametrize("limit", [0, -1, -(2**31)])
def test_a_page_of_no_items_is_refused_where_the_model_gives_no_least(limit: int) -> None:
    operation = load_service("ec2").operations["DescribeTags"]
    with pytest.raises(ValidationException, match=f"Value '{limit}' at 'MaxResults'"):
        page(operation, {"MaxResults": limit}, ITEMS)


def test_the_limit_may_change_between_pages() -> None:
    token = page(MODELS, {"maxResults": 2}, ITEMS)["nextToken"]
    rest = page(MODELS, {"maxResults": 100, "nextToken": token}, ITEMS)
    assert rest == {"modelSummaries": ITEMS[2:]}


def test_a_list_that_shrank_ends() -> None:
    token = page(MODELS, {"maxResults": 20}, ITEMS)["nextToken"]
    assert page(MODELS, {"nextToken": token}, ITEMS[:5]) == {"modelSummaries": []}


TOKEN = page(MODELS, {"maxResults": 2}, ITEMS)["nextToken"]
FOREIGN = page(load_service("bedrock").operations["ListGuardrails"], {"maxResults": 2}, ITEMS)
FILTERED = page(MODELS, {"maxResults": 2, "nameContains": "a"}, ITEMS)
MOVED = bytearray.fromhex(TOKEN)
MOVED[4] += 1


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "=",
        TOKEN[:-1],
        TOKEN + "AAAA",
        TOKEN.upper(),
        FOREIGN["nextToken"],
        FILTERED["nextToken"],
        MOVED.hex(),
        f"{TOKEN[:2]} {TOKEN[2:]}",
    ],
)
def test_tampered_and_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(ValidationException, match="The nextToken value is not valid"):
        page(MODELS, {"nextToken": token}, ITEMS)


def test_a_token_is_one_for_every_service_s_own_pattern() -> None:
    # Service Quotas' has neither - nor _, others have neither + nor /.
    assert re.fullmatch(r"[a-zA-Z0-9]+", TOKEN)


def test_an_operation_without_pages_is_refused() -> None:
    with pytest.raises(NotPaginated):
        page(load_service("bedrock").operations["ListFoundationModels"], {}, ITEMS)


def test_older_services_say_whether_there_is_more() -> None:
    users = load_service("iam").operations["ListUsers"]
    first = page(users, {"MaxItems": 20}, ITEMS)
    assert (len(first["Users"]), first["IsTruncated"]) == (20, True)
    assert page(users, {"Marker": first["Marker"]}, ITEMS) == {
        "Users": ITEMS[20:],
        "IsTruncated": False,
    }
    keys = page(load_service("kms").operations["ListKeys"], {"Limit": 1}, ITEMS)
    assert keys["Truncated"] is True
    assert keys["NextMarker"]


NAMES = [f"{number:03}" for number in range(25)]


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.booleans(), st.sampled_from([*NAMES, "0005", "0115", "0245"]))),
)
def test_what_stays_is_seen_once_however_the_list_changes(
    limit: int, changes: list[tuple[bool, str]]
) -> None:
    names, staying, seen = set(NAMES), set(NAMES), list[str]()
    params: dict[str, Any] = {"maxResults": limit}
    edits = iter(changes)
    while True:
        result = page(MODELS, params, [{"modelName": name} for name in sorted(names)])
        seen += [each["modelName"] for each in result["modelSummaries"]]
        if "nextToken" not in result:
            break
        params = {**params, "nextToken": result["nextToken"]}
        is_added, name = next(edits, (True, "000"))
        names = names | {name} if is_added else names - {name}
        staying -= {name}
    assert staying <= set(seen)
    assert all(seen.count(name) == 1 for name in staying)
