"""What callers say and get is kept nowhere and sent to nobody: files, logs and sockets are read."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from running_gateways import REAL, SCRIPTED, Gateway, start_gateway
from watched_sockets import address_of, outsiders, watched

CLAUDE = "anthropic.claude-v2"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-text-express-v1"
EMBEDDING = "amazon.titan-embed-text-v1"
NOT_A_MODEL = "anthropic.claude-none"


def _kept(gateway: Gateway, words: str) -> list[str]:
    """The files of the gateway that hold these words, as text or escaped as JSON."""
    forms = {words.encode(), json.dumps(words)[1:-1].encode(), words.encode("utf-16-le")}
    folder = gateway.data_dir.parent
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if any(form in _content(file) for form in forms)
    ]


def _content(file: Path) -> bytes:
    """Nothing, of what is no file or none any more: a database's own come and go."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:
        return b""


def _converse(marker: str) -> dict[str, Any]:
    return {
        "system": [{"text": f"You know {marker}."}],
        "messages": [{"role": "user", "content": [{"text": f"Repeat {marker} and go on."}]}],
        "inferenceConfig": {"maxTokens": 12, "temperature": 0.0},
    }


def _claude(marker: str, **more: Any) -> str:
    prompt = f"\n\nHuman: Tell of {marker}.\n\nAssistant:"
    return json.dumps({"prompt": prompt, "max_tokens_to_sample": 12, "temperature": 0, **more})


def _answers(runtime: Any, marker: str) -> list[str]:
    """The texts of one answer in each of the four ways; an embedding is asked for besides."""
    told = [json.loads(runtime.invoke_model(modelId=CLAUDE, body=_claude(marker))["body"].read())]
    pieces = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=_claude(marker))
    streamed = [json.loads(event["chunk"]["bytes"])["completion"] for event in pieces["body"]]
    whole = runtime.converse(modelId=HAIKU, **_converse(marker))["output"]["message"]["content"]
    events = runtime.converse_stream(modelId=TITAN, messages=_converse(marker)["messages"])
    deltas = [
        event["contentBlockDelta"]["delta"]["text"]
        for event in events["stream"]
        if "contentBlockDelta" in event
    ]
    runtime.invoke_model(modelId=EMBEDDING, body=json.dumps({"inputText": marker}))["body"].read()
    return [told[0]["completion"], "".join(streamed), whole[0]["text"], "".join(deltas)]


def _refusals(runtime: Any, marker: str) -> None:
    """What fails is logged, and must not be with what it was about."""
    for model, body in (
        (CLAUDE, _claude(marker, temperature=7)),
        (CLAUDE, _claude(marker, no_such_member=marker)),
        (CLAUDE, f'{{"prompt": "{marker}'),
        (NOT_A_MODEL, _claude(marker)),
    ):
        with pytest.raises(ClientError):
            runtime.invoke_model(modelId=model, body=body)
    with pytest.raises(ClientError):
        runtime.converse(modelId=NOT_A_MODEL, **_converse(marker))


def test_prompts_and_completions_are_in_no_file_and_no_log(gateway: Gateway) -> None:
    """By the default models, so that their processes are looked at too."""
    marker = f"zirconium{uuid4().hex}"
    runtime = gateway.client("bedrock-runtime")
    said = _answers(runtime, marker)
    _refusals(runtime, marker)
    # What a small model says to a new word is now and then too short to be told from anything else.
    telling = [text.strip() for text in said if len(text.strip()) > 16]
    assert telling, said
    for words in (marker, *telling):
        assert _kept(gateway, words) == []


def test_a_caller_who_is_denied_leaves_no_words_behind(scripted_gateway: Gateway) -> None:
    marker, iam = f"zirconium{uuid4().hex}", scripted_gateway.client("iam")
    user = f"denied-{uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    runtime = scripted_gateway.client(
        "bedrock-runtime", key=key["AccessKeyId"], secret=key["SecretAccessKey"]
    )
    with pytest.raises(runtime.exceptions.AccessDeniedException):
        runtime.converse(modelId=HAIKU, **_converse(marker))
    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=user)
    # Who was denied what is in the log; what was asked of the model is not.
    assert "server.log" in _kept(scripted_gateway, f"user/{user} may not bedrock:InvokeModel")
    assert {file.partition(".")[0] for file in _kept(scripted_gateway, user)} > {"data/outcrop"}
    assert _kept(scripted_gateway, marker) == []


def test_one_callers_words_are_in_no_other_callers_answer(gateway: Gateway) -> None:
    """Nothing is learnt: an answer repeats exactly, whatever others said in between."""
    runtime, marker = gateway.client("bedrock-runtime"), f"zirconium{uuid4().hex}"
    ask = {
        "messages": [{"role": "user", "content": [{"text": "Name one mineral."}]}],
        "inferenceConfig": {"maxTokens": 12, "temperature": 0.0},
    }
    before = runtime.converse(modelId=HAIKU, **ask)["output"]
    for _ in range(3):
        runtime.converse(modelId=HAIKU, **_converse(marker))
    after = runtime.converse(modelId=HAIKU, **ask)["output"]
    assert after == before
    assert marker not in json.dumps(after)


def test_addresses_of_the_kernel_are_read() -> None:
    assert str(address_of("0100007F")) == "127.0.0.1"
    assert str(address_of("00000000000000000000000001000000")) == "::1"
    assert str(address_of("0000000000000000FFFF00000100007F")) == "127.0.0.1"
    assert not address_of("08080808").is_loopback


@pytest.mark.parametrize("toml", [SCRIPTED, REAL], ids=["scripted", "real"])
def test_nothing_but_loopback_is_ever_reached(toml: str, tmp_path: Path) -> None:
    """From the start on, with a model's process and the object store's at work."""
    gateway = start_gateway(tmp_path, toml)
    try:
        with watched(gateway.process.pid) as seen:
            _answers(gateway.client("bedrock-runtime"), "granite")
            s3 = gateway.client("s3")
            s3.create_bucket(Bucket="corpus")
            s3.put_object(Bucket="corpus", Key="one", Body=b"granite")
            assert s3.get_object(Bucket="corpus", Key="one")["Body"].read() == b"granite"
            gateway.client("kms").create_key()
            gateway.client("secretsmanager").create_secret(Name="one", SecretString="granite")
    finally:
        gateway.stop()
    # The client, the store's ports and the model's: so the watch does see connections.
    assert len(seen) > 5
    assert outsiders(seen) == set()
