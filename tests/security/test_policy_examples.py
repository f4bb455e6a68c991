"""Every policy of the guides' examples: accepted if it is JSON, refused if the guide broke it."""

from pathlib import Path

import pytest

from outcrop.security.policy.document import Kind, MalformedPolicy, parse_policy

EXAMPLES = Path(__file__).resolve().parents[2] / "../shared/seed-examples"

ACCEPTED: dict[str, Kind] = {
    "001": "bucket",
    "003": "trust",
    "004": "identity",
    "012": "identity",
    "013": "trust",
    "097": "trust",
    "098": "identity",
    "099": "identity",
    "143": "trust",
    "144": "identity",
    "145": "identity",
    "147": "identity",
    "148": "identity",
    "149": "identity",
    "150": "identity",
    "152": "identity",
    "153": "trust",
    "154": "identity",
    "155": "identity",
    "157": "identity",
    "174": "identity",
    "179": "identity",
    "181": "endpoint",
    "184": "trust",
    "187": "identity",
    "188": "identity",
    "189": "identity",
    "191": "identity",
    "195": "trust",
    "201": "endpoint",
}
# The guide's bugs, each noted in the examples' index.
BROKEN: dict[str, Kind] = {
    "146": "identity",
    "156": "resource",
    "173": "identity",
    "176": "identity",
    "177": "key",
    "178": "identity",
    "182": "identity",
    "190": "identity",
    "192": "trust",
}
# Placeholders that IAM does not take where they stand.
PLACEHOLDERS = {
    "knowledge-base-arn": "arn:aws:bedrock:us-east-1:111122223333:knowledge-base/KB12345678",
    "secret-arn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:pinecone",
}


def example(number: str) -> str:
    text = (EXAMPLES / f"RUN-{number}.json").read_text()
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(f'"{placeholder}"', f'"{value}"')
    return text


@pytest.mark.parametrize(("number", "kind"), ACCEPTED.items())
def test_an_example_is_accepted(number: str, kind: Kind) -> None:
    policy = parse_policy(example(number), kind, name=number)
    assert policy.statements
    assert policy.name == number


@pytest.mark.parametrize(("number", "kind"), BROKEN.items())
def test_a_broken_example_is_refused(number: str, kind: Kind) -> None:
    with pytest.raises(MalformedPolicy):
        parse_policy(example(number), kind)


def test_a_bare_statement_is_accepted_within_a_key_policy() -> None:
    bare = example("002")
    assert parse_policy(f'{{"Version":"2012-10-17","Statement":[{bare}]}}', "key").statements
    with pytest.raises(MalformedPolicy):
        parse_policy(bare, "key")


def test_every_policy_among_the_examples_is_in_a_table_here() -> None:
    index = (EXAMPLES / "index.md").read_text().splitlines()
    policies = {
        line.split("|")[1].strip().removeprefix("RUN-")
        for line in index
        if line.startswith("| RUN-")
        and ".json" in line
        and any(word in line.split("|")[3] for word in ("policy", "policies"))
        and "fragment" not in line.split("|")[3]
    }
    # An access policy of OpenSearch has a language of its own.
    assert policies - {"002", "151"} == ACCEPTED.keys() | BROKEN.keys()


def test_a_placeholder_that_is_no_arn_is_refused_as_iam_does() -> None:
    text = (EXAMPLES / "RUN-152.json").read_text()
    with pytest.raises(MalformedPolicy, match="must be in ARN format"):
        parse_policy(text, "identity")
