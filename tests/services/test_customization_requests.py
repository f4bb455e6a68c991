"""What a customization job may be asked for, on what terms, and by whom."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from customizations_under_test import (
    BASE_ARN,
    EXPRESS,
    HYPERPARAMETERS,
    JOBS,
    VARIANT,
    Bench,
    open_bench,
)
from gguf_files import write_gguf
from in_process import REGION
from kms_requests import make_key, owned
from sqlalchemy import event
from statements import ACCOUNT, OTHER, allow, document

from outcrop.config import Binding, Llama, ModelAccess as AccessConfig, OpenAI, Scripted, Training
from outcrop.quotas.book import CUSTOM_MODELS, CUSTOMIZATION_JOBS
from outcrop.services.bedrock import customization_jobs
from outcrop.services.bedrock.customization.kinds import CUSTOMIZE
from outcrop.services.bedrock.customization_requests import JobRequest, check_request
from outcrop.services.call import Call
from outcrop.services.idempotency import remember

SERVICES = ("lambda.amazonaws.com", "bedrock.amazonaws.com")
TRAINED_BASES = [
    EXPRESS,
    f"arn:aws:bedrock:us-east-1::foundation-model/{EXPRESS}",
    VARIANT,
    BASE_ARN,
]
UNSUPPORTED: dict[str, dict[str, Any]] = {
    "DISTILLATION is not supported": {"customizationType": "DISTILLATION"},
    "REINFORCEMENT_FINE_TUNING is not supported": {
        "customizationType": "REINFORCEMENT_FINE_TUNING"
    },
    "IMPORTED is not supported": {"customizationType": "IMPORTED"},
    "customizationConfig.distillationConfig is not supported": {
        "customizationConfig": {
            "distillationConfig": {
                "teacherModelConfig": {"teacherModelIdentifier": "amazon.nova-pro-v1:0"}
            }
        }
    },
    "customizationConfig.rftConfig is not supported": {"customizationConfig": {"rftConfig": {}}},
    "trainingDataConfig.invocationLogsConfig is not supported": {
        "trainingDataConfig": {
            "s3Uri": "s3://bucket/train.jsonl",
            "invocationLogsConfig": {"invocationLogSource": {"s3Uri": "s3://bucket/logs"}},
        }
    },
    "trainingDataConfig.s3Uri is missing": {"trainingDataConfig": {}},
    "trainingDataConfig.s3Uri: 's3://bucket' names no file": {
        "trainingDataConfig": {"s3Uri": "s3://bucket"}
    },
    "validationDataConfig.validators[1].s3Uri: 's3://bucket/v/' names no file": {
        "validationDataConfig": {
            "validators": [{"s3Uri": "s3://bucket/v.jsonl"}, {"s3Uri": "s3://bucket/v/"}]
        }
    },
}
NOT_CUSTOMIZABLE: dict[str, str] = {
    "anthropic.claude-v2": "does not support customization",
    "amazon.titan-embed-text-v1": "does not support customization",
    "amazon.titan-embed-image-v1": "trains models that write text",
    "amazon.titan-image-generator-v1": "trains models that write text",
    "amazon.nova-lite-v1:0:24k": "does not support customization",
    "amazon.nova-lite-v1:0": "its engine 'script' has no weights that can be trained here",
}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, monkeypatch) as bench:
        yield bench


async def nothing_is_left(bench: Bench) -> None:
    assert await bench.names() == []
    assert await bench.submitted(CUSTOMIZE) == []
    assert await bench.grants() == []


@pytest.mark.parametrize("identifier", TRAINED_BASES)
async def test_every_spelling_of_a_model_is_the_variant_that_is_customized(
    bench: Bench, identifier: str
) -> None:
    arn = await bench.create(baseModelIdentifier=identifier)
    assert arn.startswith(f"{JOBS}/{VARIANT}/")
    assert (await bench.get())["baseModelArn"] == BASE_ARN


@pytest.mark.parametrize(("model", "reason"), NOT_CUSTOMIZABLE.items())
async def test_other_models_are_refused_with_the_reason(
    bench: Bench, model: str, reason: str
) -> None:
    code, message = await bench.refusal(baseModelIdentifier=model, hyperParameters=None)
    assert (code, reason in message) == ("ValidationException", True), message
    await nothing_is_left(bench)


async def test_a_type_that_the_model_does_not_have_is_refused(bench: Bench) -> None:
    code, message = await bench.refusal(
        baseModelIdentifier="cohere.command-text-v14", customizationType="CONTINUED_PRE_TRAINING"
    )
    assert code == "ValidationException"
    assert "does not support the customization type CONTINUED_PRE_TRAINING" in message


@pytest.mark.parametrize("identifier", ["acme.model-v1", "nobody-s", f"us.{EXPRESS}"])
async def test_an_unknown_model_is_not_found(bench: Bench, identifier: str) -> None:
    assert await bench.refusal(baseModelIdentifier=identifier) == (
        "ResourceNotFoundException",
        "Could not resolve the foundation model from the provided model identifier.",
    )


async def test_a_model_of_another_region_is_refused(bench: Bench) -> None:
    elsewhere = BASE_ARN.replace(REGION, "eu-west-1")
    code, _ = await bench.refusal(baseModelIdentifier=elsewhere)
    assert code == "ValidationException"


async def test_custom_models_are_not_customized_further(bench: Bench) -> None:
    arn = await bench.model("tuned")
    for identifier in (arn, "tuned"):
        code, message = await bench.refusal(baseModelIdentifier=identifier)
        assert code == "ValidationException"
        assert "cannot be customized further" in message
    theirs = await bench.model("their", account=OTHER)
    code, _ = await bench.refusal(baseModelIdentifier=theirs)
    assert code in ("AccessDeniedException", "ResourceNotFoundException")


@pytest.mark.parametrize(("reason", "params"), UNSUPPORTED.items())
async def test_what_is_not_done_here_is_refused_by_name(
    bench: Bench, reason: str, params: dict[str, Any]
) -> None:
    code, message = await bench.refusal(**params)
    assert (code, reason in message) == ("ValidationException", True), message
    await nothing_is_left(bench)


@pytest.mark.parametrize(
    "member",
    ["jobName", "customModelName", "roleArn", "baseModelIdentifier", "trainingDataConfig",
     "outputDataConfig"],
)  # fmt: skip
async def test_a_member_that_every_job_needs_is_asked_for(bench: Bench, member: str) -> None:
    code, message = await bench.refusal(**{member: None})
    assert (code, member in message) == ("ValidationException", True), message
    await nothing_is_left(bench)


@pytest.mark.parametrize("member", ["customizationType", "hyperParameters", "validationDataConfig"])
async def test_a_member_that_has_a_default_may_be_left_out(bench: Bench, member: str) -> None:
    """The documents count them among those that are needed at least, and leave them out (C-21)."""
    validators = {"validators": [{"s3Uri": "s3://bucket/validation.jsonl"}]}
    whole = {"customizationType": "FINE_TUNING", "validationDataConfig": validators}
    await bench.create(**{**whole, member: None})
    found = await bench.get()
    assert found["customizationType"] == "FINE_TUNING"
    assert found["hyperParameters"].keys() == HYPERPARAMETERS.keys()
    assert ("validationDataConfig" in found) == (member != "validationDataConfig")


async def test_a_list_of_no_validators_is_no_validation_data(bench: Bench) -> None:
    await bench.create(validationDataConfig={"validators": []})
    assert "validationDataConfig" not in await bench.get()


async def test_hyperparameters_have_defaults_and_are_told_as_they_were_written(
    bench: Bench,
) -> None:
    await bench.create(hyperParameters={"learningRate": "1.00E-05"})
    assert (await bench.get())["hyperParameters"] == {
        "epochCount": "5",
        "batchSize": "8",
        "learningRate": "1.00E-05",
        "learningRateWarmupSteps": "0",
    }


async def test_a_wrong_hyperparameter_is_refused_by_name(bench: Bench) -> None:
    code, message = await bench.refusal(hyperParameters={**HYPERPARAMETERS, "temperature": "1"})
    assert (code, "'temperature' is unknown" in message) == ("ValidationException", True)
    await nothing_is_left(bench)


@pytest.mark.parametrize("value", [1, 1.5, True, ["1"], {"n": "1"}])
async def test_a_hyperparameter_that_is_no_string_is_refused(bench: Bench, value: Any) -> None:
    code, _ = await bench.refusal(hyperParameters={**HYPERPARAMETERS, "epochCount": value})
    assert code in ("ValidationException", "SerializationException")
    await nothing_is_left(bench)


async def test_the_account_needs_access_to_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = AccessConfig(default="none")
    async with open_bench(tmp_path, monkeypatch, access=none) as bench:
        code, message = await bench.refusal()
        assert code == "AccessDeniedException"
        assert message == "You don't have access to the model with the specified model ID."
        await nothing_is_left(bench)
        await bench.access(EXPRESS, "granted")
        await bench.create()


@pytest.mark.parametrize(
    ("role", "code", "reason"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/nobody", "ValidationException", "Could not assume"),
        (f"arn:aws:iam::{OTHER}:role/theirs", "ValidationException", "Cross-account"),
    ],
)
async def test_the_role_must_be_there_and_one_s_own(
    bench: Bench, role: str, code: str, reason: str
) -> None:
    found, message = await bench.refusal(roleArn=role)
    assert (found, reason in message) == (code, True)
    await nothing_is_left(bench)


async def test_a_role_that_trusts_bedrock_for_other_jobs_is_refused(bench: Bench) -> None:
    other = document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"ArnEquals": {"aws:SourceArn": f"{JOBS}/cohere.*"}},
        }
    )
    role = await bench.inside.role(ACCOUNT, "Other", other)
    code, _ = await bench.refusal(roleArn=role)
    assert code == "ValidationException"


@pytest.mark.parametrize(
    "trusted",
    [
        {"Service": "lambda.amazonaws.com"},
        {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    ],
)
async def test_a_role_that_does_not_trust_bedrock_is_refused(
    bench: Bench, trusted: dict[str, Any]
) -> None:
    statement = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    role = await bench.inside.role(ACCOUNT, "Other", document(statement), document(allow("*")))
    code, message = await bench.refusal(roleArn=role)
    assert code == "ValidationException"
    assert "Could not assume provided IAM role" in message
    await nothing_is_left(bench)
    trusts_both = {**statement, "Principal": {"Service": [*SERVICES]}}
    both = await bench.inside.role(ACCOUNT, "Both", document(trusts_both))
    assert await bench.create(roleArn=both)


async def test_who_may_not_pass_the_role_gets_no_job(bench: Bench) -> None:
    policy = document(allow("bedrock:*"), allow("kms:*"))
    ann = bench.inside.client(await bench.inside.user(ACCOUNT, "ann", policy))
    code, message = await bench.refusal("", ann)
    assert code == "AccessDeniedException"
    assert "iam:PassRole" in message
    await nothing_is_left(bench)


@pytest.mark.parametrize("identifier", [EXPRESS, VARIANT])
async def test_a_variant_that_is_denied_is_not_had_by_its_model_s_name(
    bench: Bench, identifier: str
) -> None:
    create = "bedrock:CreateModelCustomizationJob"
    untagged = {"StringNotEquals": {"aws:RequestTag/Team": "ore"}}
    deny = {"Effect": "Deny", "Action": create, "Resource": BASE_ARN, "Condition": untagged}
    policy = document(allow("*"), deny)
    ann = bench.inside.client(await bench.inside.user(ACCOUNT, "ann", policy))
    code, message = await bench.refusal("", ann, baseModelIdentifier=identifier)
    assert (code, "explicit deny" in message) == ("AccessDeniedException", True)
    tags = [{"key": "Team", "value": "ore"}]
    assert await bench.create(ann, baseModelIdentifier=identifier, jobTags=tags)


async def test_names_are_used_once(bench: Bench) -> None:
    await bench.quota(CUSTOMIZATION_JOBS, 10)
    await bench.create()
    code, message = await bench.refusal(customModelName="another")
    assert (code, "job named 'job-name'" in message) == ("ConflictException", True)
    code, message = await bench.refusal(jobName="another")
    assert (code, "making a custom model named" in message) == ("ConflictException", True)
    await bench.model("tuned")
    code, message = await bench.refusal(jobName="another", customModelName="tuned")
    assert (code, "custom model named 'tuned'" in message) == ("ConflictException", True)
    assert len(await bench.grants()) == 1
    await bench.change(status="Failed")
    # The name of a job stays its own; that of the model it did not make is free.
    code, _ = await bench.refusal(customModelName="another")
    assert code == "ConflictException"
    await bench.create(jobName="another")


async def test_two_jobs_run_at_a_time_unless_more_were_approved(bench: Bench) -> None:
    for name in ("one", "two"):
        await bench.create(jobName=name, customModelName=name)
    third = {"jobName": "three", "customModelName": "three"}
    code, message = await bench.refusal(**third)
    assert code == "ServiceQuotaExceededException"
    assert "quota of 2 in us-east-1" in message
    assert "Scheduled customization jobs" in message
    await bench.stop("one")
    assert (await bench.refusal(**third))[0] == "ServiceQuotaExceededException"
    await bench.change("one", status="Stopped")
    await bench.create(**third)
    await bench.quota(CUSTOMIZATION_JOBS, 3)
    await bench.create(jobName="four", customModelName="four")


async def test_models_that_are_being_made_count_as_models(bench: Bench) -> None:
    await bench.quota(CUSTOM_MODELS, 2)
    await bench.model("tuned")
    await bench.create()
    code, message = await bench.refusal(jobName="two", customModelName="two")
    assert code == "ServiceQuotaExceededException"
    assert "Custom models per account" in message
    await bench.change(status="Failed")
    await bench.create(jobName="two", customModelName="two")


async def test_many_at_once_stay_within_the_quota_and_leave_no_grant_behind(bench: Bench) -> None:
    names = [f"job-{number}" for number in range(6)]
    results = await asyncio.gather(
        *(bench.create(jobName=name, customModelName=name) for name in names),
        return_exceptions=True,
    )
    made = [each for each in results if isinstance(each, str)]
    assert len(made) == 2
    assert sorted(await bench.submitted(CUSTOMIZE)) == sorted(made)
    assert len(await bench.grants()) == 2


async def test_a_request_that_comes_again_is_answered_as_before(bench: Bench) -> None:
    token = {"clientRequestToken": "again"}
    arns = await asyncio.gather(*(bench.create(**token) for _ in range(4)))
    assert len(set(arns)) == 1
    assert await bench.submitted(CUSTOMIZE) == [arns[0]]
    assert len(await bench.grants()) == 1
    await bench.stop()
    assert await bench.create(**token) == arns[0]
    code, message = await bench.refusal(**token, jobName="another")
    assert (code, "clientRequestToken" in message) == ("ConflictException", True)


async def test_a_request_that_comes_again_while_it_is_checked_is_answered_as_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that an SDK sends again, since it waited too long for the first."""
    token = {"clientRequestToken": "again"}
    made: list[str] = []

    async def check(call: Call, params: Mapping[str, Any]) -> JobRequest:
        checked = await check_request(call, params)
        if not made:
            made.append("")
            made.append(await bench.create(**token))
        return checked

    monkeypatch.setattr(customization_jobs, "check_request", check)
    assert await bench.create(**token) == made[1]
    assert await bench.submitted(CUSTOMIZE) == [made[1]]
    assert len(await bench.grants()) == 1


async def test_a_job_whose_commit_is_cut_off_keeps_its_grant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = asyncio.ensure_future(bench.create(clientRequestToken="cut-off"))
    cut: list[str] = []

    async def remembering(*args: Any) -> None:
        await remember(*args)
        cut.append("soon")

    def cut_off(_connection: sa.Connection) -> None:
        if cut == ["soon"]:
            cut.append("off")
            making.cancel()

    monkeypatch.setattr(customization_jobs, "remember", remembering)
    event.listen(sa.Engine, "commit", cut_off)
    try:
        with pytest.raises(asyncio.CancelledError):
            await making
    finally:
        event.remove(sa.Engine, "commit", cut_off)
    assert cut == ["soon", "off"]
    jobs = await bench.submitted(CUSTOMIZE)
    assert len(await bench.grants()) == len(jobs)


@pytest.mark.parametrize(
    ("member", "tags", "code"),
    [
        ("jobTags", [{"key": "a", "value": "1"}] * 2, "ValidationException"),
        ("customModelTags", [{"key": "aws:a", "value": "1"}], "ValidationException"),
        (
            "customModelTags",
            [{"key": f"k{number}", "value": ""} for number in range(51)],
            "TooManyTagsException",
        ),
    ],
)
async def test_tags_follow_the_rules_of_all_tags(
    bench: Bench, member: str, tags: list[dict[str, str]], code: str
) -> None:
    assert (await bench.refusal(**{member: tags}))[0] == code
    await nothing_is_left(bench)


async def test_the_customer_s_key_is_told_by_its_arn_and_has_one_grant(bench: Bench) -> None:
    key = await make_key(bench.admin)
    await bench.admin.ask("kms", "CreateAlias", AliasName="alias/models", TargetKeyId=key)
    arn = await bench.create(customModelKmsKeyId="alias/models")
    assert (await bench.get())["outputModelKmsKeyArn"] == key
    record = (await bench.record()).record
    assert (record.data_key.kms_key, record.data_key.context) == (key, arn)
    assert len(await bench.grants()) == 1


async def test_without_leave_for_the_key_there_is_no_job(bench: Bench) -> None:
    key = await make_key(bench.admin, Policy=owned())
    policy = document(allow(["bedrock:*", "iam:PassRole"]))
    ann = bench.inside.client(await bench.inside.user(ACCOUNT, "ann", policy))
    code, message = await bench.refusal("", ann, customModelKmsKeyId=key)
    assert (code, "kms:" in message) == ("AccessDeniedException", True)
    await nothing_is_left(bench)


async def test_a_network_that_is_not_there_is_refused(bench: Bench) -> None:
    network = {"subnetIds": ["subnet-yy"], "securityGroupIds": ["sg-xx"]}
    code, _ = await bench.refusal(vpcConfig=network)
    assert code == "ValidationException"
    await nothing_is_left(bench)


async def test_a_machine_without_the_libraries_says_what_to_install(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Python marks what cannot be imported.
    monkeypatch.setitem(sys.modules, "torch", None)
    code, message = await bench.refusal()
    assert code == "ValidationException"
    assert "it has no torch" in message
    assert "pip install 'outcrop[train]'" in message
    await nothing_is_left(bench)


async def test_weights_that_are_not_here_yet_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = {"base": Llama(model=str(tmp_path / "missing.gguf"))}
    bind = (Binding(pattern="*", engine="base"),)
    async with open_bench(tmp_path, monkeypatch, engines=engines, bind=bind) as bench:
        code, message = await bench.refusal()
        assert (code, "missing.gguf" in message) == ("ValidationException", True)


async def test_a_file_whose_positions_are_scaled_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_gguf(tmp_path / "scaled.gguf", {}, ("rope_freqs.weight",))
    settings: dict[str, Any] = {
        "engines": {"scaled": Llama(model=str(weights))},
        "bind": (Binding(pattern="*", engine="scaled"),),
    }
    refusing, named = tmp_path / "refusing", tmp_path / "named"
    refusing.mkdir()
    async with open_bench(refusing, monkeypatch, **settings) as bench:
        code, message = await bench.refusal()
        assert code == "ValidationException"
        assert f"The model {VARIANT} cannot be customized in this deployment: " in message
        assert "scaled.gguf scales its rotary positions (rope_freqs.weight)" in message
        assert "[training] bases" in message
        await nothing_is_left(bench)
    named.mkdir()
    settings["training"] = Training(bases={"scaled": "/models/the-same-as-a-directory"})
    async with open_bench(named, monkeypatch, **settings) as bench:
        await bench.create()
        assert (await bench.record()).record.engine == "scaled"


@pytest.mark.parametrize(("named", "bound"), [(None, None), ("m", None), ("m", "n"), (None, "n")])
async def test_weights_behind_another_server_are_told_by_the_name_it_has_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, bound: str | None
) -> None:
    settings: dict[str, Any] = {
        "engines": {"script": Scripted(), "far": OpenAI(url="http://127.0.0.1:9/v1", model=named)},
        "bind": (Binding(pattern="*", engine="far", model=bound),),
        "training": Training(bases={"far": "/models/base"}),
    }
    async with open_bench(tmp_path, monkeypatch, **settings) as bench:
        if named or bound:
            await bench.create()
            assert (await bench.record()).record.base == (bound or named)
        else:
            code, message = await bench.refusal()
            assert (code, "setting model" in message) == ("ValidationException", True)


@pytest.mark.parametrize("bases", [{}, {"far": "/models/base"}])
async def test_weights_behind_another_server_are_those_that_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bases: dict[str, str]
) -> None:
    settings: dict[str, Any] = {
        "engines": {"script": Scripted(), "far": OpenAI(url="http://127.0.0.1:9/v1", model="m")},
        "bind": (Binding(pattern="*", engine="far"),),
        "training": Training(bases=bases),
    }
    async with open_bench(tmp_path, monkeypatch, **settings) as bench:
        if bases:
            await bench.create()
            assert (await bench.record()).record.engine == "far"
        else:
            code, message = await bench.refusal()
            assert (code, "[training] bases" in message) == ("ValidationException", True)
