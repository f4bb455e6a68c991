"""What holds for every policy and every request, hostile ones included."""

from typing import Any

import msgspec
from hypothesis import given, strategies as st
from policy_requests import (
    ACCOUNT,
    ANYONE,
    OTHER,
    ROLE_ARN,
    ROOT,
    SERVICE,
    SESSION,
    STRANGER,
    USER,
    policy,
    text_of,
)

from outcrop.security.policy.document import Kind, MalformedPolicy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, decide, explain
from outcrop.security.policy.operators import NEGATED, OPERATORS

KINDS = st.sampled_from(
    [
        "identity",
        "boundary",
        "session",
        "resource",
        "trust",
        "service-control",
        "endpoint",
        "key",
        "bucket",
    ]
)
WORDS = st.sampled_from(
    ["*", "s3:*", "s3:Get*", "arn:aws:s3:::b/*", "a", "1", "true", "${aws:username}", "2026-01-01"]
)
TEXTS = WORDS | st.text(max_size=20)
SCALARS = TEXTS | st.integers() | st.booleans() | st.none()
OPERATOR_NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "ForAnyValue:", "ForAllValues:"]),
    st.sampled_from([*OPERATORS, *NEGATED, "Null"]),
    st.sampled_from(["", "IfExists"]),
)
CONDITIONS = st.dictionaries(
    OPERATOR_NAMES | TEXTS,
    st.dictionaries(
        st.sampled_from(["aws:username", "aws:SourceIp", "s3:prefix"]),
        SCALARS | st.lists(SCALARS, max_size=3),
        max_size=2,
    ),
    max_size=2,
)
STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "Effect": st.sampled_from(["Allow", "Deny", "allow", 1]),
        "Sid": SCALARS,
        "Action": TEXTS | st.lists(TEXTS, max_size=3),
        "NotAction": TEXTS,
        "Resource": TEXTS | st.lists(TEXTS, max_size=3),
        "NotResource": TEXTS,
        "Principal": TEXTS | st.dictionaries(st.sampled_from(["AWS", "Service"]), TEXTS),
        "Condition": CONDITIONS,
    },
)
REQUESTS = st.builds(
    Request,
    st.sampled_from([USER, SESSION, ROOT, STRANGER, SERVICE, ANYONE]),
    st.sampled_from(["s3:GetObject", "ec2:RunInstances"]) | st.text(max_size=20),
    st.sampled_from(["arn:aws:s3:::b/a", "*"]) | st.text(max_size=20),
    st.sampled_from([ACCOUNT, OTHER, None]),
    st.dictionaries(
        st.sampled_from(["aws:username", "aws:sourceip", "s3:prefix"]),
        TEXTS | st.lists(TEXTS, max_size=3).map(tuple),
    ),
)

GOOD: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Action": st.sampled_from(["*", "s3:*", "s3:Get*", "ec2:*", ["s3:PutObject", "ec2:R*"]]),
        "Resource": st.sampled_from(["*", "arn:aws:s3:::b/*", "arn:aws:s3:::${aws:username}/*"]),
        "Condition": st.dictionaries(
            st.sampled_from(["StringLike", "StringNotLike", "ForAllValues:StringEquals"]),
            st.dictionaries(st.sampled_from(["aws:username", "s3:prefix"]), WORDS, max_size=2),
            max_size=2,
        ),
    }
)
PRINCIPALS = st.sampled_from(
    ["*", {"AWS": ACCOUNT}, {"AWS": USER.arn}, {"AWS": [ROLE_ARN, STRANGER.arn]}]
)


def with_principal(statement: dict[str, Any], principal: Any) -> dict[str, Any]:
    return {**statement, "Principal": principal}


PRINCIPLED = st.builds(with_principal, GOOD, PRINCIPALS)


@given(st.text() | st.text(alphabet='{}[]":,\\ *aStement').map(lambda text: "{" + text), KINDS)
def test_parsing_any_text_raises_nothing_but_malformed_policy(text: str, kind: Kind) -> None:
    try:
        parsed = parse_policy(text, kind)
    except MalformedPolicy:
        return
    assert parsed.statements


@given(st.lists(STATEMENTS, max_size=3), KINDS, REQUESTS)
def test_whatever_parses_can_be_decided_and_explained(
    statements: list[dict[str, Any]], kind: Kind, request: Request
) -> None:
    text = msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()
    try:
        parsed = parse_policy(text, kind)
    except MalformedPolicy:
        return
    layers = Layers(
        identity=(parsed,), boundary=parsed, session=(parsed,), resource=parsed, endpoint=parsed
    )
    assert explain(request, layers).decision == decide(request, layers)


@given(st.lists(GOOD, min_size=1, max_size=4), st.lists(PRINCIPLED, max_size=3), REQUESTS, GOOD)
def test_adding_a_deny_never_allows(
    identity: list[dict[str, Any]],
    resource: list[dict[str, Any]],
    request: Request,
    more: dict[str, Any],
) -> None:
    bucket = policy(*resource, kind="key") if resource else None
    before = decide(request, Layers(identity=(policy(*identity),), resource=bucket))
    denying = policy(*identity, {**more, "Effect": "Deny"})
    after = decide(request, Layers(identity=(denying,), resource=bucket))
    assert before.allowed or not after.allowed


@given(st.lists(GOOD, min_size=1, max_size=5), REQUESTS, st.randoms())
def test_the_order_of_statements_does_not_matter(
    statements: list[dict[str, Any]], request: Request, random: Any
) -> None:
    shuffled = [*statements]
    random.shuffle(shuffled)
    first = decide(request, Layers(identity=(policy(*statements),)))
    second = decide(request, Layers(identity=(policy(*shuffled),)))
    apart = decide(request, Layers(identity=tuple(policy(each) for each in statements)))
    assert first.reason == second.reason == apart.reason


@given(st.lists(GOOD, min_size=1, max_size=3), st.integers(0, 3))
def test_spaces_between_tokens_change_nothing_but_positions(
    statements: list[dict[str, Any]], spaces: int
) -> None:
    text = text_of(*statements)
    spread = msgspec.json.format(text.encode(), indent=spaces).decode()
    plain, formatted = parse_policy(text, "identity"), parse_policy(spread, "identity")
    assert plain.keys == formatted.keys
    assert len(plain.statements) == len(formatted.statements)
