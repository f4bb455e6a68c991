"""``outcrop accounts`` and the options that choose an account, as a user types them."""

import json
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

FIRST = "123456789012"
SECOND = "210987654321"

STATEMENT = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
DENY_S3 = {"Version": "2012-10-17", "Statement": [STATEMENT]}


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def exports(text: str) -> dict[str, str]:
    words = [shlex.split(line)[1] for line in text.splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for word in words)


def listed(app: typer.Typer, *arguments: str) -> list[dict[str, str]]:
    return json.loads(run(app, *arguments, "list", "--json").stdout)


def test_a_new_account_comes_with_a_key_of_its_root_user(outcrop: typer.Typer) -> None:
    made = exports(run(outcrop, "accounts", "create", "research", "--id", SECOND).stdout)
    assert [row["id"] for row in listed(outcrop, "accounts")] == [FIRST, SECOND]
    (key,) = json.loads(run(outcrop, "keys", "list", "--account", SECOND, "--json").stdout)
    assert (key["id"], key["user"]) == (made["AWS_ACCESS_KEY_ID"], "root")
    assert exports(run(outcrop, "env", "--account", SECOND).stdout).items() >= made.items()
    assert made["AWS_ACCESS_KEY_ID"] not in run(outcrop, "keys", "list").stdout


def test_an_account_has_a_random_id_where_none_is_given(outcrop: typer.Typer) -> None:
    made = json.loads(run(outcrop, "accounts", "create", "a", "--json").stdout)
    assert len(made["id"]) == 12
    assert made["id"] in run(outcrop, "accounts", "list").stdout


def test_keys_are_made_disabled_and_deleted_in_the_account_that_is_chosen(
    outcrop: typer.Typer,
) -> None:
    run(outcrop, "accounts", "create", "research", "--id", SECOND)
    made = json.loads(
        run(outcrop, "keys", "create", "--user", "root", "--account", SECOND, "--json").stdout
    )
    key = made["AWS_ACCESS_KEY_ID"]
    assert "has no key" in run(outcrop, "keys", "disable", key, code=1).stderr
    run(outcrop, "keys", "disable", key, "--account", SECOND)
    run(outcrop, "keys", "delete", key, "--account", SECOND)
    assert key not in run(outcrop, "keys", "list", "--account", SECOND).stdout


def test_env_shows_the_key_of_the_user_that_is_chosen(outcrop: typer.Typer) -> None:
    made = json.loads(run(outcrop, "keys", "create", "--user", "root", "--json").stdout)
    shown = exports(run(outcrop, "env", "--user", "root").stdout)
    assert shown["AWS_ACCESS_KEY_ID"] == made["AWS_ACCESS_KEY_ID"]
    assert exports(run(outcrop, "env").stdout)["AWS_ACCESS_KEY_ID"] != made["AWS_ACCESS_KEY_ID"]


def test_a_service_control_policy_is_made_attached_detached_and_deleted(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    file = tmp_path / "scp.json"
    file.write_text(json.dumps(DENY_S3), encoding="utf-8")
    scp = ("accounts", "scp")
    run(outcrop, *scp, "create", "no-s3", str(file))
    assert json.loads(run(outcrop, *scp, "show", "no-s3").stdout) == DENY_S3
    run(outcrop, *scp, "attach", "no-s3", FIRST)
    assert json.loads(run(outcrop, *scp, "list", "--json").stdout) == {
        "FullAWSAccess": [FIRST],
        "no-s3": [FIRST],
    }
    assert "no-s3" in run(outcrop, "accounts", "list").stdout
    assert "is attached to" in run(outcrop, *scp, "delete", "no-s3", code=1).stderr
    run(outcrop, *scp, "detach", "no-s3", FIRST)
    run(outcrop, *scp, "delete", "no-s3")
    assert "no-s3" not in run(outcrop, *scp, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["accounts", "create", "a", "--id", "12345"], "An account's ID is 12 digits"),
        (["accounts", "create", "a", "--id", FIRST], f"There is an account {FIRST} already."),
        (["keys", "create", "--account", SECOND], f"There is no account {SECOND}."),
        (["env", "--account", SECOND], "`outcrop accounts list` shows all."),
        (["env", "--user", "bob"], "The user 'bob' of account 123456789012 has no active"),
        (["accounts", "scp", "show", "none"], "There is no service control policy 'none'."),
        (["accounts", "scp", "attach", "FullAWSAccess", SECOND], "There is no account"),
        (["accounts", "scp", "detach", "FullAWSAccess", FIRST], "is the last one of account"),
        (["accounts", "scp", "create", "a", "/nowhere.json"], "/nowhere.json cannot be read"),
        (["accounts", "scp", "create", "a b", "/nowhere.json"], "A policy's name is"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_1(
    arguments: list[str], sentence: str, outcrop: typer.Typer
) -> None:
    result = run(outcrop, *arguments, code=1)
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_what_is_no_service_control_policy_is_refused(outcrop: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "scp.json"
    statement = {**STATEMENT, "Principal": "*"}
    file.write_text(json.dumps({**DENY_S3, "Statement": [statement]}), encoding="utf-8")
    made = run(outcrop, "accounts", "scp", "create", "a", str(file), code=1)
    assert "is no service control policy" in made.stderr
    file.write_text("x" * 6000, encoding="utf-8")
    made = run(outcrop, "accounts", "scp", "create", "a", str(file), code=1)
    assert "has 6000 characters" in made.stderr


def test_an_empty_account_is_deleted_and_its_number_is_not_given_again(
    outcrop: typer.Typer,
) -> None:
    run(outcrop, "accounts", "create", "research", "--id", SECOND)
    run(outcrop, "accounts", "delete", SECOND)
    assert [row["id"] for row in listed(outcrop, "accounts")] == [FIRST]
    assert "There is no account" in run(outcrop, "accounts", "delete", SECOND, code=1).stderr
    again = run(outcrop, "accounts", "create", "again", "--id", SECOND, code=1)
    assert "Its ID is not given again." in again.stderr


def test_the_deployment_s_own_account_stays(outcrop: typer.Typer) -> None:
    refused = run(outcrop, "accounts", "delete", FIRST, "--force", code=1)
    assert "is the deployment's own account" in refused.stderr
