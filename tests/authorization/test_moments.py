"""Decisions on the time of a request: kept between the moments that policies name, no longer."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from in_process import Inside, running_inside

from outcrop.authorization.access import Access
from outcrop.authorization.authorizer import Authorizer
from outcrop.authorization.context import Setting
from outcrop.authorization.moments import find_moments, place_among
from outcrop.authorization.table import FIND_FACTS
from outcrop.security.policy.document import Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide
from outcrop.wire.http import Request as HttpRequest

ACCOUNT = "123456789012"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDERS = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")


def text(conditions: dict[str, Any], effect: str = "Allow", resource: str = "*") -> str:
    statement = {"Effect": effect, "Action": "bedrock:*", "Resource": resource}
    if conditions:
        statement |= {"Condition": conditions}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def policy(conditions: dict[str, Any], resource: str = "*") -> Policy:
    return parse_policy(text(conditions, resource=resource), "identity")


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def is_allowed(asked: Policy, now: datetime) -> bool:
    keys = {"aws:currenttime": iso(now), "aws:epochtime": str(int(now.timestamp()))}
    user = Subject(f"arn:aws:iam::{ACCOUNT}:user/ann", ACCOUNT, "user")
    request = Request(user, "bedrock:InvokeModel", "*", None, keys)
    return decide(request, Layers(identity=(asked,))).allowed


SECONDS = st.integers(-3, 3)
CONDITIONS = st.one_of(
    st.tuples(
        st.sampled_from([f"Date{order}" for order in ORDERS]),
        st.sampled_from(["aws:CurrentTime", "aws:EpochTime"]),
        SECONDS.map(lambda after: iso(NOON + timedelta(seconds=after))),
    ),
    st.tuples(
        st.sampled_from([f"Numeric{order}" for order in ORDERS]),
        st.just("aws:EpochTime"),
        SECONDS.map(lambda after: f"{int(NOON.timestamp()) + after}.5"),
    ),
)


@given(asked=CONDITIONS, tenths=st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
def test_between_two_moments_nothing_changes(
    asked: tuple[str, str, str], tenths: tuple[int, int]
) -> None:
    operator, key, value = asked
    compiled = policy({operator: {key: value}})
    moments = find_moments([compiled])
    assert moments
    first, second = (NOON + timedelta(seconds=each / 10) for each in tenths)
    if place_among(moments, first) == place_among(moments, second):
        assert is_allowed(compiled, first) is is_allowed(compiled, second)


@pytest.mark.parametrize(
    ("conditions", "resource"),
    [
        ({"StringLike": {"aws:CurrentTime": "2026-*"}}, "*"),
        ({"StringEquals": {"aws:username": "${aws:CurrentTime}"}}, "*"),
        ({}, "arn:aws:bedrock:::${aws:EpochTime}"),
        ({"NumericLessThan": {"aws:EpochTime": "1.0000001"}}, "*"),
    ],
)
def test_the_time_as_text_is_not_kept(conditions: dict[str, Any], resource: str) -> None:
    assert find_moments([policy(conditions, resource)]) is None


def test_policies_that_do_not_ask_for_the_time_have_no_moments() -> None:
    assert find_moments([policy({"Bool": {"aws:SecureTransport": "true"}})]) == ()
    assert find_moments([policy({"Null": {"aws:CurrentTime": "true"}})])


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside


@pytest.mark.parametrize(
    "conditions",
    [
        {
            "DateGreaterThanEquals": {"aws:CurrentTime": iso(NOON)},
            "DateLessThan": {"aws:CurrentTime": iso(NOON + timedelta(seconds=2))},
        },
        {"StringLike": {"aws:CurrentTime": ["2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z"]}},
    ],
)
async def test_a_decision_that_was_kept_ends_at_its_moment(
    inside: Inside, conditions: dict[str, Any]
) -> None:
    caller = inside.caller(await inside.user(ACCOUNT, "ann", text(conditions)))
    authorizer = Authorizer(inside.deployment.state.stores, FIND_FACTS, lambda _: None)
    request = HttpRequest("POST", "/", "", (("host", "x"),), b"", "x")
    access = Access("bedrock:InvokeModel")
    for _ in range(2):
        for seconds, allowed in ((-1, False), (0, True), (1, True), (2, False), (0.5, True)):
            now = NOON + timedelta(seconds=seconds)
            setting = Setting(caller, "us-east-1", request, now)
            for _ in range(2):
                assert (await authorizer.decide(setting, access)).allowed is allowed
