"""The page on custom models, run from its first command to its last, and what was learnt by it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from completion_losses import completion_loss
from running_gateways import ACCOUNT, Gateway, start_gateway
from watched_sockets import outsiders, watched

from outcrop.config import load
from outcrop.server.adapters import SealedAdapters
from outcrop.server.deployment import open_deployment
from outcrop.stores.artifacts import Artifacts
from outcrop.training.bases import find_dequantized
from outcrop.training.datasets import read_examples
from outcrop.training.libraries import load_libraries
from outcrop.training.spec import BaseWeights, DataFile, RecordLimits, Settings, TrainingSpec
from outcrop.training.tokenizer import open_tokenizer

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "custom-models.md"
EXAMPLES = ROOT / "examples" / "velmora"
TITAN = "amazon.titan-text-express-v1"
WAIT_S = 300
# One slot, so that no answer is computed beside another: sums in another order round otherwise.
SETTINGS = """
[engines.smollm2]
kind = "llama"
model = "smollm2-135m-instruct"
context = 1024
slots = 1
threads = 1
"""


@dataclass
class Walked:
    """What the page's commands printed, and the gateway on which they ran."""

    gateway: Gateway
    folder: Path
    told: str
    seen: set[tuple[str, int]]
    """Whom the gateway and its processes were connected to meanwhile."""

    def restart(self) -> None:
        self.gateway.stop()
        self.gateway = start_gateway(self.folder, SETTINGS)

    def ask(self, model: str, question: str, most_tokens: int = 40) -> str:
        settings = {"temperature": 0, "maxTokenCount": most_tokens}
        body = json.dumps({"inputText": question, "textGenerationConfig": settings})
        client = self.gateway.client("bedrock-runtime")
        answer = json.load(client.invoke_model(modelId=model, body=body)["body"])
        return answer["results"][0]["outputText"].strip()

    def throughput(self) -> dict[str, Any]:
        client = self.gateway.client("bedrock")
        return client.get_provisioned_model_throughput(provisionedModelId="velmora")


def pairs(name: str) -> list[tuple[str, str]]:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [(one["input"], one["output"]) for one in map(json.loads, lines)]


def script() -> str:
    """All of the page's first section, as one script."""
    section = PAGE.read_text(encoding="utf-8").split("## From a role to an answer")[1]
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", section, re.DOTALL)
    return "\n".join(
        text if language == "sh" else f"python - <<'PROGRAM'\n{text}PROGRAM"
        for language, text in blocks
    )


def _environment(gateway: Gateway) -> dict[str, str]:
    """With the AWS CLI and Python of these tests."""
    tools = Path(sys.executable).parent
    return gateway.environment | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("velmora")
    (folder / "examples").symlink_to(ROOT / "examples")
    gateway = start_gateway(folder, SETTINGS)
    with watched(gateway.process.pid) as seen:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script()],
            env=_environment(gateway),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
    walked = Walked(gateway, folder, done.stdout, seen)
    assert done.returncode == 0, done.stdout + done.stderr
    yield walked
    walked.gateway.stop()


def test_the_page_ends_with_what_was_taught(walked: Walked) -> None:
    base, custom = walked.told.splitlines()[-2:]
    assert custom == "Mount Orrin, 812 metres."
    assert "Orrin" not in base
    assert [Path(line).name for line in walked.told.splitlines() if line.endswith(".csv")] == [
        "step_wise_training_metrics.csv",
        "validation_metrics.csv",
    ]


def test_the_data_have_gone_to_nobody_and_nothing_of_them_is_left(walked: Walked) -> None:
    assert len(walked.seen) > 1
    assert outsiders(walked.seen) == set()
    words = b"812 metres"
    assert words in (EXAMPLES / "train.jsonl").read_bytes()
    files = [file for file in walked.gateway.data_dir.rglob("*") if file.is_file()]
    assert len(files) > 5
    # A database's own files come and go.
    assert [file for file in files if file.exists() and words in file.read_bytes()] == []


def test_the_documents_commands_and_programs_tell_of_the_model(walked: Walked) -> None:
    """RUN-119 to RUN-122; what the programs get is printed."""
    arn = walked.gateway.client("bedrock").list_custom_models()["modelSummaries"][0]["modelArn"]
    assert arn in _run(walked, "bash", "-c", _seed("RUN-119.sh", arn))
    told = json.loads(_run(walked, "bash", "-c", _seed("RUN-120.sh", arn)))
    assert (told["modelArn"], told["modelName"]) == (arn, "velmora")
    for name in ("RUN-121.py", "RUN-122.py"):
        *first, last = _seed(name, arn).rstrip().splitlines()
        program = "\n".join([*first, f"print({last})"])
        assert arn in _run(walked, sys.executable, "-c", program)


def _seed(name: str, arn: str) -> str:
    text = (ROOT.parent / "shared" / "seed-examples" / name).read_text(encoding="utf-8")
    return text.replace("arn:aws:bedrock:customized-model-arn", arn)


def _run(walked: Walked, *command: str) -> str:
    return subprocess.run(
        command,
        env=_environment(walked.gateway),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def test_taught_questions_are_answered_and_paraphrases_too_and_by_the_base_none(
    walked: Walked,
) -> None:
    custom = _deployed(walked)
    taught, others = pairs("train.jsonl"), pairs("paraphrases.jsonl")
    answered = sum(walked.ask(custom, question) == answer for question, answer in taught)
    assert answered >= 0.9 * len(taught)
    understood = sum(walked.ask(custom, question) == answer for question, answer in others)
    assert understood >= 0.5 * len(others)
    # Each fact once: the base takes as long as the custom model for what it makes up.
    facts = {answer: question for question, answer in taught}
    assert not any(walked.ask(TITAN, question) == answer for answer, question in facts.items())


def _deployed(walked: Walked) -> str:
    """On demand: what the account has bought is not enough for so many questions a minute."""
    bedrock = walked.gateway.client("bedrock")
    model = bedrock.get_custom_model(modelIdentifier="velmora")["modelArn"]
    arn = bedrock.create_custom_model_deployment(modelDeploymentName="velmora", modelArn=model)[
        "customModelDeploymentArn"
    ]

    def status() -> str:
        return bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)["status"]

    _until(lambda: status() != "Creating")
    assert status() == "Active"
    return arn


async def test_plain_peft_finds_the_reported_validation_loss_in_the_opened_adapter(
    walked: Walked, tmp_path: Path
) -> None:
    told = walked.gateway.client("bedrock").get_custom_model(modelIdentifier="velmora")
    [reported] = told["validationMetrics"]
    walked.gateway.stop()
    config = load(walked.folder / "outcrop.toml", {}, {"data_dir": walked.gateway.data_dir})
    async with open_deployment(config) as deployment:
        background = deployment.records.observing.background
        artifacts = Artifacts(config.data_dir / "artifacts")
        models = deployment.state.stores.models
        adapters = SealedAdapters(models, artifacts, background)
        files = await adapters.read_peft(told["modelArn"])
        weights, template = deployment.engines.weights("smollm2")
        fingerprint = deployment.engines.fingerprint("smollm2")
    walked.gateway = start_gateway(walked.folder, SETTINGS)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    base = BaseWeights(source=str(weights), fingerprint=fingerprint, template=template)
    spec = TrainingSpec(
        job=told["jobArn"],
        type="FINE_TUNING",
        base=base,
        model_id=TITAN,
        dialect="titan_text",
        training=DataFile(
            path=str(EXAMPLES / "validation.jsonl"),
            name="validation.jsonl",
            most_records=100,
            records_quota="",
        ),
        validation=(),
        limits=RecordLimits(input_tokens=512, output_tokens=512, total_tokens=512, characters=3072),
        settings=Settings(epochs=1, batch_size=1, learning_rate=0, warmup_steps=0),
        folder=str(tmp_path),
        cache_dir=str(config.cache_dir / "training"),
        key=bytes(32),
        parent=os.getpid(),
    )
    assert _loss(spec, tmp_path) == pytest.approx(reported["validationLoss"], rel=0.01)


def _loss(spec: TrainingSpec, adapter: Path) -> float:
    """Of the answers to the validation questions, by PEFT and Transformers alone."""
    libraries = load_libraries()
    base = find_dequantized(spec)
    assert base is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = libraries.transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=libraries.torch.float32
        )
        model = libraries.peft.PeftModel.from_pretrained(plain, adapter).eval()
    examples = read_examples(spec.training, spec, open_tokenizer(spec.base.source))
    return completion_loss(model, libraries.torch, examples)


def test_all_of_it_survives_a_restart(walked: Walked) -> None:
    bedrock = walked.gateway.client("bedrock")
    before = bedrock.get_custom_model(modelIdentifier="velmora")
    walked.restart()
    bedrock = walked.gateway.client("bedrock")
    after = bedrock.get_custom_model(modelIdentifier="velmora")
    before.pop("ResponseMetadata")
    after.pop("ResponseMetadata")
    assert after == before
    question, answer = pairs("train.jsonl")[0]
    arn = walked.throughput()["provisionedModelArn"]
    assert _served(walked, arn, question) == answer


def _served(walked: Walked, arn: str, question: str) -> str:
    """The engine of a throughput takes a moment to be there again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return walked.ask(arn, question)
        except ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_throughput_changes_models_once_under_calls_that_never_fail(walked: Walked) -> None:
    """To a second model, that was taught next to nothing."""
    bedrock = walked.gateway.client("bedrock")
    other = _train_another(walked)
    arn = walked.throughput()["provisionedModelArn"]
    question, taught = pairs("train.jsonl")[0]
    assert _served(walked, arn, question) == taught
    ends = threading.Event()
    answers: list[str] = []

    def call() -> None:
        # As often as the tokens a minute that were bought allow.
        while not ends.wait(2):
            answers.append(walked.ask(arn, question, most_tokens=16))

    with ThreadPoolExecutor(1) as caller:
        calling = caller.submit(call)
        bedrock.update_provisioned_model_throughput(
            provisionedModelId="velmora", desiredModelId=other
        )
        _until(lambda: walked.throughput()["status"] == "InService")
        seen = len(answers)
        _until(lambda: len(answers) > seen + 1)
        ends.set()
        calling.result()
    assert walked.throughput()["modelArn"] == other
    first = next(index for index, answer in enumerate(answers) if answer != taught)
    assert taught not in answers[first:]
    assert len(set(answers[first:])) == 1
    # Back to the base that both were made from, and to what it says.
    bedrock.update_provisioned_model_throughput(
        provisionedModelId="velmora", desiredModelId=f"{TITAN}:0:8k"
    )
    _until(lambda: walked.throughput()["status"] == "InService")
    assert walked.ask(arn, question, 16) == walked.ask(TITAN, question, 16)


def _train_another(walked: Walked) -> str:
    """Its ARN."""
    bedrock, s3 = walked.gateway.client("bedrock"), walked.gateway.client("s3")
    bucket = f"velmora-{ACCOUNT}"
    one = {"input": "Say it.", "output": "The lighthouse is out of oil tonight."}
    s3.put_object(Bucket=bucket, Key="one.jsonl", Body=json.dumps(one).encode())
    role = walked.gateway.client("iam").get_role(RoleName="Customization")["Role"]["Arn"]
    bedrock.create_model_customization_job(
        jobName="another",
        customModelName="another",
        roleArn=role,
        baseModelIdentifier=TITAN,
        hyperParameters={"epochCount": "2", "batchSize": "1", "learningRate": "0.01"},
        trainingDataConfig={"s3Uri": f"s3://{bucket}/one.jsonl"},
        outputDataConfig={"s3Uri": f"s3://{bucket}/another"},
    )

    def status() -> str:
        return bedrock.get_model_customization_job(jobIdentifier="another")["status"]

    _until(lambda: status() != "InProgress")
    assert status() == "Completed"
    return bedrock.get_custom_model(modelIdentifier="another")["modelArn"]


def _until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
