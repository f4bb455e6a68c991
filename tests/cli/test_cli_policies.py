"""``outcrop policy`` as users type it: on documents, and on the data directory of a deployment."""

import asyncio
import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.server.state import open_state
from outcrop.stores.iam_names import iam_arn, new_unique_id
from outcrop.stores.iam_records import RoleRecord
from outcrop.stores.resources import Place

ACCOUNT = "123456789012"
CLAUDE = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1"
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Claude",
            "Effect": "Allow",
            "Action": "bedrock:InvokeModel",
            "Resource": CLAUDE,
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        },
        {"Sid": "NoTitan", "Effect": "Deny", "Action": "bedrock:*", "Resource": TITAN},
    ],
}


@pytest.fixture
def document(tmp_path: Path) -> str:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(DOCUMENT, indent=2), encoding="utf-8")
    return str(file)


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["policy", *arguments])
    assert result.exit_code == code, result.output
    return result


def ask(app: typer.Typer, document: str, resource: str, *more: str) -> str:
    return run(
        app,
        *("simulate", "--policy-file", document),
        *("--action", "bedrock:InvokeModel", "--resource", resource, *more),
    ).stdout


def test_an_allowed_request_names_the_statement_that_allows_it(
    outcrop: typer.Typer, document: str
) -> None:
    told = ask(outcrop, document, CLAUDE, "--context", "aws:SourceIp=10.1.2.3")
    assert f"bedrock:InvokeModel on {CLAUDE}: allowed" in told
    assert "statement 'Claude' at line 3 of" in told
    assert "(identity-based policy): allows it" in told


def test_a_condition_that_is_not_met_is_named_with_what_the_request_has(
    outcrop: typer.Typer, document: str
) -> None:
    told = ask(outcrop, document, CLAUDE, "--context", "aws:SourceIp=192.168.0.1")
    assert "denied because no identity-based policy allows it" in told
    assert (
        "would allow, but its IpAddress wants aws:SourceIp '10.0.0.0/8', which is '192.168.0.1'"
    ) in told


def test_a_condition_key_that_the_request_lacks_is_asked_for(
    outcrop: typer.Typer, document: str
) -> None:
    told = ask(outcrop, document, CLAUDE)
    assert "aws:SourceIp '10.0.0.0/8', which is not in the request" in told
    assert "not given: aws:SourceIp" in told


def test_an_explicit_deny_is_named(outcrop: typer.Typer, document: str) -> None:
    told = ask(outcrop, document, TITAN)
    assert "denied by an explicit deny in an identity-based policy" in told
    assert "(identity-based policy): denies it" in told
    assert "statement 'Claude'" in told
    assert "would allow, but not on this resource" in told


def test_an_action_of_which_no_statement_speaks_is_denied(
    outcrop: typer.Typer, document: str
) -> None:
    told = run(outcrop, "simulate", "--policy-file", document, "--action", "kms:Decrypt").stdout
    assert told.splitlines() == [
        "kms:Decrypt on *: denied because no identity-based policy allows it",
        "  no statement of any policy names the action",
    ]


def test_the_explanation_is_data_too(outcrop: typer.Typer, document: str) -> None:
    (told,) = json.loads(ask(outcrop, document, CLAUDE, "--json"))
    assert (told["allowed"], told["reason"], told["layer"]) == (False, "implicit-deny", "identity")
    assert told["missing"] == ["aws:SourceIp"]
    claude, titan = told["statements"]
    assert (claude["sid"], claude["action"], claude["resource"]) == ("Claude", True, True)
    assert [condition["met"] for condition in claude["conditions"]] == [False]
    assert (titan["sid"], titan["resource"], titan["applies"]) == ("NoTitan", False, False)


def test_the_administrator_may_everything(outcrop: typer.Typer) -> None:
    told = run(outcrop, "simulate", "--user", "admin", "--action", "bedrock:InvokeModel").stdout
    assert "bedrock:InvokeModel on *: allowed" in told
    assert "AdministratorAccess" in told


def test_a_role_is_asked_with_its_own_policies(
    outcrop: typer.Typer, document: str, tmp_path: Path
) -> None:
    run(outcrop, "simulate", "--user", "admin", "--action", "s3:GetObject")
    asyncio.run(_add_role(tmp_path / "data", json.dumps(DOCUMENT)))
    for name in ("caller", iam_arn(ACCOUNT, "role", "caller")):
        told = run(
            outcrop,
            *("simulate", "--role", name, "--action", "bedrock:InvokeModel"),
            *("--resource", CLAUDE, "--context", "aws:SourceIp=10.0.0.1"),
        ).stdout
        assert ": allowed" in told
        assert "role_caller_models" in told


async def _add_role(data_dir: Path, policy: str) -> None:
    async with open_state(data_dir, os.environ) as state:
        role = RoleRecord(id=new_unique_id("role"), trust="{}", inline={"models": policy})
        async with state.stores.resources.writing() as transaction:
            await transaction.add(
                role, Place(ACCOUNT, "", "caller"), arn=iam_arn(ACCOUNT, "role", "caller")
            )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--action", "s3:GetObject"], "Say who asks"),
        (["--user", "a", "--role", "b", "--action", "s3:GetObject"], "not both"),
        (["--user", "nobody", "--action", "s3:GetObject"], "There is no user 'nobody'"),
        (["--role", "nobody", "--action", "s3:GetObject"], "There is no role 'nobody'"),
        (["--policy-file", "gone.json", "--action", "s3:GetObject"], "gone.json cannot be read"),
        (["--user", "admin", "--action", "s3:GetObject", "--context", "oops"], "KEY=VALUE"),
    ],
)
def test_a_misuse_is_one_sentence(outcrop: typer.Typer, arguments: list[str], reason: str) -> None:
    result = run(outcrop, "simulate", *arguments, code=1)
    assert result.stderr.startswith("outcrop: ")
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_valid_document_is_measured_as_aws_counts(outcrop: typer.Typer, document: str) -> None:
    told = run(outcrop, "check", document).stdout
    size = sum(map(len, Path(document).read_text(encoding="utf-8").split()))
    assert f"a valid identity policy: 2 statements, {size} characters" in told


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("identity", "{", "Syntax errors in policy."),
        ("trust", json.dumps(DOCUMENT), "Has prohibited field Resource"),
        ("charter", "{}", "There is no kind 'charter'"),
    ],
)
def test_what_is_no_policy_is_refused_in_awss_words(
    outcrop: typer.Typer, tmp_path: Path, kind: str, text: str, reason: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text, encoding="utf-8")
    result = run(outcrop, "check", str(file), "--kind", kind, code=1)
    assert reason in result.stderr


def test_a_document_that_is_no_text_is_refused(outcrop: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in run(outcrop, "check", str(file), code=1).stderr
