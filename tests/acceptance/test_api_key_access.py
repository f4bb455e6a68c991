"""Bedrock API keys: a bearer needs leave to be one, and then whatever its user needs. SDKs send
them over TLS only; what matters here is the header."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from aws_bedrock_token_generator import BedrockTokenGenerator
from botocore.credentials import Credentials
from principals import CLAUDE, MODELS, REGION, Account, Person, deny, turn
from statements import allow, document

BEARER = "bedrock:CallWithBearerToken"


def long_term(account: Account, person: Person) -> str:
    made = account.iam.create_service_specific_credential(
        UserName=person.name, ServiceName="bedrock.amazonaws.com"
    )["ServiceSpecificCredential"]
    return made["ServiceCredentialSecret"]


def short_term(_account: Account, person: Person) -> str:
    credentials = Credentials(person.key, person.secret, person.token)
    return BedrockTokenGenerator().get_token(credentials, REGION)


def converse(person: Person, token: str) -> tuple[int, str]:
    """The status, and the message of a refusal."""
    body: dict[str, Any] = turn()
    connection = HTTPConnection(urlsplit(person.gateway.url).netloc, timeout=60)
    with closing(connection):
        connection.request(
            "POST",
            f"/model/{body.pop('modelId')}/converse",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        told = json.loads(answer.read())
    return answer.status, told.get("Message", "")


@pytest.mark.parametrize("make", [long_term, short_term])
def test_a_bearer_needs_leave_to_call_with_a_token(account: Account, make: Any) -> None:
    person = account.user(document(allow("bedrock:InvokeModel")))
    token = make(account, person)
    assert person.invokes()
    assert converse(person, token) == (
        403,
        f"User: {person.arn} is not authorized to perform: {BEARER} "
        f"because no identity-based policy allows the {BEARER} action",
    )
    account.iam.put_user_policy(
        UserName=person.name, PolicyName="bearer", PolicyDocument=document(allow(BEARER))
    )
    assert converse(person, token) == (200, "")
    account.iam.delete_user_policy(UserName=person.name, PolicyName="granted-0")
    action = "bedrock:InvokeModel"
    assert converse(person, token) == (
        403,
        f"User: {person.arn} is not authorized to perform: {action} on resource: "
        f"{MODELS}/{CLAUDE} because no identity-based policy allows the {action} action",
    )


@pytest.mark.parametrize("denied", ["LONG_TERM", "SHORT_TERM"])
def test_keys_of_one_kind_can_be_denied(account: Account, denied: str) -> None:
    condition = {"StringEquals": {"bedrock:bearerTokenType": denied}}
    person = account.user(document(allow("bedrock:*"), deny(BEARER, Condition=condition)))
    assert converse(person, long_term(account, person))[0] == (
        403 if denied == "LONG_TERM" else 200
    )
    assert converse(person, short_term(account, person))[0] == (
        403 if denied == "SHORT_TERM" else 200
    )


def test_a_session_s_short_term_key_is_the_session_s(account: Account) -> None:
    person = account.session(document(allow("bedrock:*")))
    assert converse(person, short_term(account, person)) == (200, "")
    bare = account.session(document(allow("bedrock:InvokeModel")))
    status, message = converse(bare, short_term(account, bare))
    assert status == 403
    assert message.startswith(f"User: {bare.arn} is not authorized to perform: {BEARER} ")


def test_a_key_of_an_inactive_credential_is_refused_at_once(account: Account) -> None:
    person = account.user(document(allow("bedrock:*")))
    token = long_term(account, person)
    assert converse(person, token)[0] == 200
    (credential,) = account.iam.list_service_specific_credentials(UserName=person.name)[
        "ServiceSpecificCredentials"
    ]
    account.iam.update_service_specific_credential(
        UserName=person.name,
        ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"],
        Status="Inactive",
    )
    assert converse(person, token)[0] == 403
