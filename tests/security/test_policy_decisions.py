"""How the layers decide together: who may, who is refused, and which layer is named."""

from typing import Any

import pytest
from policy_requests import (
    ACCOUNT,
    ANYONE,
    BUCKET,
    FEDERATED,
    OTHER,
    ROLE_ARN,
    ROOT,
    SERVICE,
    SESSION,
    STRANGER,
    USER,
    policy,
    request,
    statement,
)

from outcrop.security.policy.document import Kind, Policy
from outcrop.security.policy.evaluate import Layer, Layers, Subject, decide, explain

YES = policy(statement())
NO = policy(statement(Action="ec2:*"), name="silent")
DENY = policy(statement("Deny"), name="deny")


def naming(principal: Any, effect: str = "Allow", kind: Kind = "bucket") -> Policy:
    return policy(statement(effect, Principal=principal, Action="s3:*"), kind=kind, name="r")


def outcome(layers: Layers, subject: Subject = USER, owner: str | None = ACCOUNT) -> Layer | str:
    decision = decide(request(subject, owner=owner), layers)
    assert decision.allowed is (decision.reason == "allowed")
    return decision.layer or "allowed"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (Layers(), "identity"),
        (Layers(identity=(NO, YES)), "allowed"),
        (Layers(identity=(YES,), boundary=NO), "boundary"),
        (Layers(identity=(NO,), boundary=YES), "identity"),
        (Layers(identity=(YES,), boundary=YES), "allowed"),
        (Layers(identity=(YES,), session=()), "session"),
        (Layers(identity=(YES,), session=(NO, YES)), "allowed"),
        (Layers(identity=(YES,), session=(NO,)), "session"),
        (Layers(identity=(YES,), service_control=((YES,), (NO,))), "service-control"),
        (Layers(identity=(YES,), service_control=((YES,), (NO, YES))), "allowed"),
        (Layers(identity=(NO,), service_control=((NO,),)), "service-control"),
        (Layers(identity=(YES,), endpoint=naming("*", kind="endpoint")), "allowed"),
        (Layers(identity=(YES,), endpoint=naming({"AWS": OTHER}, kind="endpoint")), "endpoint"),
        (Layers(identity=(YES,), endpoint=policy(statement(), kind="endpoint")), "allowed"),
    ],
)
def test_within_an_account(layers: Layers, expected: str) -> None:
    assert outcome(layers) == expected
    assert outcome(layers, owner=None) == expected


@pytest.mark.parametrize(
    ("layers", "layer"),
    [
        (Layers(identity=(YES, DENY)), "identity"),
        (Layers(identity=(YES,), boundary=DENY), "boundary"),
        (Layers(identity=(YES,), session=(YES, DENY)), "session"),
        (Layers(identity=(YES,), service_control=((YES, DENY),)), "service-control"),
    ],
)
def test_an_explicit_deny_wins_and_is_named(layers: Layers, layer: Layer) -> None:
    decision = decide(request(), layers)
    assert (decision.reason, decision.layer, decision.policy) == ("explicit-deny", layer, "deny")
    assert decision.statement is DENY.statements[0]


@pytest.mark.parametrize(("named", "denied"), [(ACCOUNT, True), (OTHER, False)])
def test_a_resource_or_endpoint_denies_whoever_it_names(named: str, denied: bool) -> None:
    guard = policy(
        statement(Principal="*"), statement("Deny", Principal={"AWS": named}), kind="endpoint"
    )
    resource, endpoint = (
        Layers(identity=(YES,), resource=guard),
        Layers(endpoint=guard, identity=(YES,)),
    )
    assert outcome(resource) == ("resource" if denied else "allowed")
    assert outcome(endpoint) == ("endpoint" if denied else "allowed")


def test_the_first_layer_in_aws_order_is_named_where_several_deny() -> None:
    everywhere = Layers(
        identity=(DENY,), boundary=DENY, session=(DENY,), resource=naming("*", "Deny")
    )
    assert decide(request(), everywhere).layer == "identity"


# What a resource policy of the same account grants by itself, and what still limits it.
GRANTS = [
    (USER, "*", "boundary"),
    (USER, {"AWS": USER.arn}, "session"),
    (USER, {"AWS": ACCOUNT}, "identity"),
    (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "identity"),
    (USER, {"AWS": STRANGER.arn}, "identity"),
    (SESSION, "*", "boundary"),
    (SESSION, {"AWS": ROLE_ARN}, "boundary"),
    (SESSION, {"AWS": SESSION.arn}, "allowed"),
    (FEDERATED, {"AWS": FEDERATED.arn}, "allowed"),
    (FEDERATED, {"AWS": USER.arn}, "boundary"),
]


@pytest.mark.parametrize(("subject", "principal", "limited"), GRANTS)
def test_what_a_resource_policy_grants_by_name(
    subject: Subject, principal: Any, limited: str
) -> None:
    grant = naming(principal)
    alone = outcome(Layers(resource=grant), subject)
    assert alone == ("identity" if limited == "identity" else "allowed")
    assert outcome(Layers(resource=grant, boundary=NO, session=(NO,)), subject) == limited


def test_a_deny_still_counts_against_who_is_named() -> None:
    grant = naming({"AWS": SESSION.arn})
    assert outcome(Layers(resource=grant, session=(DENY,)), SESSION) == "session"
    assert outcome(Layers(resource=grant, service_control=((NO,),)), SESSION) == "service-control"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (Layers(identity=(YES,)), "resource"),
        (Layers(resource=naming("*")), "identity"),
        (Layers(resource=naming({"AWS": USER.arn})), "identity"),
        (Layers(identity=(YES,), resource=naming({"AWS": USER.arn})), "allowed"),
        (Layers(identity=(YES,), resource=naming({"AWS": ACCOUNT})), "allowed"),
        (Layers(identity=(YES,), resource=naming({"AWS": OTHER})), "resource"),
        (Layers(identity=(YES,), resource=naming({"AWS": USER.arn}), boundary=NO), "boundary"),
        (Layers(identity=(YES,), resource=naming({"AWS": USER.arn}), session=(NO,)), "session"),
    ],
)
def test_across_accounts_both_sides_must_allow(layers: Layers, expected: str) -> None:
    assert outcome(layers, owner=OTHER) == expected


@pytest.mark.parametrize(
    ("principal", "identity", "expected"),
    [
        ({"AWS": USER.arn}, (), "allowed"),
        ({"AWS": ACCOUNT}, (), "identity"),
        ({"AWS": ACCOUNT}, (YES,), "allowed"),
        ({"AWS": STRANGER.arn}, (YES,), "resource"),
    ],
)
def test_a_policy_that_decides(principal: Any, identity: tuple[Policy, ...], expected: str) -> None:
    key = policy(statement(Principal=principal), kind="key")
    layers = Layers(identity=identity, resource=key, resource_decides=True)
    assert outcome(layers) == expected
    assert outcome(Layers(identity=identity, resource_decides=True)) == "resource"


def test_root_may_everything_but_what_is_denied() -> None:
    assert outcome(Layers(), ROOT) == "allowed"
    assert outcome(Layers(service_control=((NO,),)), ROOT) == "service-control"
    assert outcome(Layers(resource=naming("*", "Deny")), ROOT) == "resource"
    assert outcome(Layers(endpoint=naming({"AWS": OTHER}, kind="endpoint")), ROOT) == "endpoint"
    assert outcome(Layers(), ROOT, owner=OTHER) == "resource"
    assert outcome(Layers(resource=naming({"AWS": ACCOUNT})), ROOT, owner=OTHER) == "allowed"
    key = policy(statement(Principal={"AWS": USER.arn}), kind="key")
    assert outcome(Layers(resource=key, resource_decides=True), ROOT) == "resource"


@pytest.mark.parametrize("subject", [SERVICE, ANYONE])
def test_services_and_strangers_have_resource_policies_only(subject: Subject) -> None:
    assert outcome(Layers(identity=(YES,)), subject) == "resource"
    assert outcome(Layers(resource=naming("*")), subject) == "allowed"
    assert outcome(Layers(resource=naming({"AWS": ACCOUNT})), subject) == "resource"
    assert outcome(Layers(resource=naming("*"), service_control=((NO,),)), subject) == "allowed"
    assert outcome(Layers(resource=naming("*", "Deny")), subject) == "resource"


def test_a_service_is_named_as_one() -> None:
    service = {"Service": "bedrock.amazonaws.com"}
    assumes = {"Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole"}
    trust = policy(assumes, kind="trust")
    asked = request(SERVICE, "sts:AssumeRole", ROLE_ARN)
    layers = Layers(resource=trust, resource_decides=True)
    assert decide(asked, layers).allowed
    assert not decide(request(USER, "sts:AssumeRole", ROLE_ARN), layers).allowed


@pytest.mark.parametrize(
    ("subject", "named", "denied"),
    [
        (USER, [USER.arn], True),
        (USER, [USER.arn, ACCOUNT], False),
        (USER, [ACCOUNT], True),
        (USER, [STRANGER.arn, OTHER], True),
        (SESSION, [SESSION.arn, ROLE_ARN, ACCOUNT], False),
        (SESSION, [ROLE_ARN, ACCOUNT], True),
        (ROOT, [ACCOUNT], False),
        (ANYONE, [ACCOUNT], True),
    ],
)
def test_not_principal_excepts_who_is_named_with_role_and_account(
    subject: Subject, named: list[str], denied: bool
) -> None:
    guarded = policy(
        statement(Principal="*", Resource=f"{BUCKET}/*", Action="s3:*"),
        statement("Deny", NotPrincipal={"AWS": named}, Action="s3:*", Resource=f"{BUCKET}/*"),
        kind="bucket",
    )
    assert (outcome(Layers(resource=guarded), subject) == "resource") is denied


def test_not_principal_denies_everyone_with_a_boundary() -> None:
    deny = statement("Deny", NotPrincipal={"AWS": [USER.arn, ACCOUNT]})
    guarded = policy(statement(Principal="*"), deny, kind="resource")
    assert outcome(Layers(resource=guarded)) == "allowed"
    assert outcome(Layers(resource=guarded, boundary=YES)) == "resource"


def test_an_explanation_says_why_each_statement_applied_or_not() -> None:
    layers = Layers(
        identity=(
            policy(
                statement(
                    Resource="arn:aws:s3:::other/*",
                    Condition={"StringEquals": {"aws:ResourceTag/Team": ["red"]}},
                ),
                statement("Deny", NotAction="ec2:*", Condition={"Bool": {"aws:MFA": "false"}}),
                name="mine",
            ),
        ),
        resource=naming({"AWS": USER.arn}),
    )
    explained = explain(request(keys={"aws:resourcetag/team": "blue", "aws:mfa": "false"}), layers)
    first, second, third = explained.statements
    assert explained.decision.reason == "explicit-deny"
    assert (first.layer, first.policy, first.action, first.resource) == (
        "identity",
        "mine",
        True,
        False,
    )
    condition = first.conditions[0]
    assert (condition.operator, condition.key, condition.request_value) == (
        "StringEquals",
        "aws:ResourceTag/Team",
        "blue",
    )
    assert (condition.policy_values, condition.matched, first.matched) == (("red",), False, False)
    assert second.matched
    assert second.principal is None
    assert (third.layer, third.principal, third.matched) == ("resource", True, True)


def test_an_explanation_names_the_keys_that_the_request_lacks() -> None:
    needs = policy(
        statement(
            Resource="arn:aws:s3:::b/${aws:username}",
            Condition={"StringLike": {"aws:PrincipalTag/Team": "*", "s3:prefix": "x"}},
        )
    )
    explained = explain(request(keys={"s3:prefix": "x"}), Layers(identity=(needs,)))
    assert explained.missing_keys == ("aws:PrincipalTag/Team", "aws:username")
