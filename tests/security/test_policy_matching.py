"""Actions, resources and principals: wildcards, negations, variables."""

import pytest
from policy_requests import allows, statement

from outcrop.security.policy.patterns import compile_tokens, tokenize


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("*", "bedrock:InvokeModel", True),
        ("*:*", "bedrock:InvokeModel", True),
        ("bedrock:*", "bedrock:InvokeModel", True),
        ("BEDROCK:invokemodel", "bedrock:InvokeModel", True),
        ("bedrock:Invoke*", "bedrock:InvokeModelWithResponseStream", True),
        ("bedrock:*Model", "bedrock:InvokeModel", True),
        ("bedrock:*Model", "bedrock:InvokeModelWithResponseStream", False),
        ("bedrock:I*M*l", "bedrock:InvokeModel", True),
        ("bedrock:Invok?Model", "bedrock:InvokeModel", True),
        ("bedrock:Invok?Model", "bedrock:InvokModel", False),
        ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", False),
        ("bedrock:*", "bedrock-agent:InvokeAgent", False),
    ],
)
def test_actions(pattern: str, action: str, expected: bool) -> None:
    assert allows(statement(Action=pattern), action=action) is expected
    assert allows(statement(NotAction=pattern), action=action) is not expected


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("*", "*", True),
        ("arn:aws:s3:::data/*", "arn:aws:s3:::data/a/b:c", True),
        ("arn:aws:s3:::data/*", "arn:aws:s3:::data", False),
        ("arn:aws:s3:::DATA", "arn:aws:s3:::data", False),
        ("arn:aws:s3:::d*/x*z", "arn:aws:s3:::data/y/x:z", True),
        ("arn:aws:s3:::dat?", "arn:aws:s3:::data", True),
        ("arn:aws:bedrock:*::foundation-model/m", "arn:aws:bedrock:eu-1::foundation-model/m", True),
        ("arn:aws:bedrock:*::foundation-model/m", "arn:aws:bedrock:eu-1:1:custom-model/m", False),
        # A star at the end of its part goes on beyond the colon, one inside it does not.
        ("arn:aws:sqs:*:1:q", "arn:aws:sqs:eu:2:x:1:q", True),
        ("arn:aws:sqs:e*u:1:q", "arn:aws:sqs:e-u:1:q", True),
        ("arn:aws:sqs:e*u:1:q", "arn:aws:sqs:e:u:1:q", False),
        ("arn:aws:sqs:e?:1:q", "arn:aws:sqs:e::1:q", False),
        ("arn:aws:bedrock:*", "arn:aws:bedrock:eu:1:agent/A", True),
    ],
)
def test_resources(pattern: str, resource: str, expected: bool) -> None:
    assert allows(statement(Resource=pattern), resource=resource) is expected
    assert allows(statement(NotResource=pattern), resource=resource) is not expected


def test_variables_in_resources() -> None:
    own = statement(Resource="arn:aws:s3:::data/${aws:username}/*")
    assert allows(own, resource="arn:aws:s3:::data/ann/x", keys={"aws:username": "ann"})
    assert not allows(own, resource="arn:aws:s3:::data/bob/x", keys={"aws:username": "ann"})
    assert not allows(own, resource="arn:aws:s3:::data/bob/x", keys={"aws:username": "*"})
    assert not allows(own, resource="arn:aws:s3:::data//x")


def test_a_variable_without_a_value_does_not_widen_not_resource() -> None:
    others = statement(NotResource=["arn:aws:s3:::data/${aws:username}/*", "arn:aws:s3:::logs"])
    elsewhere = "arn:aws:s3:::data/bob/x"
    assert allows(others, resource=elsewhere, keys={"aws:username": "ann"})
    assert not allows(others, resource=elsewhere)


def test_a_variable_with_several_values_resolves_to_none() -> None:
    own = statement(Resource="arn:aws:s3:::data/${aws:TagKeys}")
    assert not allows(own, resource="arn:aws:s3:::data/a", keys={"aws:tagkeys": ("a", "b")})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*a" * 5000 + "b", False),
        ("a?" * 5000, False),
        ("*" * 10000 + "b", False),
        ("*?" * 5000, True),
        ("*?a" * 3000 + "b", False),
    ],
    ids=["stars", "single", "many stars", "both", "mixed"],
)
def test_hostile_patterns_are_matched_in_linear_time(pattern: str, expected: bool) -> None:
    # With an exponential matcher this test does not end.
    matches = compile_tokens(tokenize(pattern, wildcards=True, variables=False))
    assert matches("a" * 9999) is expected


def test_an_action_is_matched_with_the_request_of_any_case() -> None:
    assert allows(statement(Action="s3:getobject"), action="S3:GETOBJECT")
