"""Users and roles of one account of a running gateway, each with signed clients of their own, and
the policy documents of the guides with their placeholders filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from running_gateways import Gateway
from statements import allow, document

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
REGION = "us-east-1"
MODELS = f"arn:aws:bedrock:{REGION}::foundation-model"
CLAUDE = "anthropic.claude-v2"
TITAN = "amazon.titan-text-express-v1"

# The documents of the guide that are no JSON, mended where its index says that they are broken.
REPAIRS: Mapping[str, Sequence[tuple[str, str]]] = {
    "146": (('"KMS:Decrypt",', '"KMS:Decrypt"'),),
    "156": (('"lambda:InvokeFunction",', '"lambda:InvokeFunction"'),),
    "173": (
        ('"bedrock:GetAgentAlias,', '"bedrock:GetAgentAlias",'),
        ('"bedrock:ListAgentAliases"\n', '"bedrock:ListAgentAliases",\n'),
        ('"Resource": "*"\n        }\n    ]\n', '"Resource": "*"\n        }\n    ]\n}\n'),
    ),
    "176": (("        },\n    ]", "        }\n    ]"), ('"sid"', '"agent"'), ('"sid"', '"alias"')),
    "177": (('"Resource": "*"\n        }\n}', '"Resource": "*"\n        }\n    ]\n}'),),
    "178": (('"kms:GenerateDataKey"\n', '"kms:GenerateDataKey",\n'),),
    "182": (
        ('"ec2:CreateNetworkInterface",\n    ]\n', '"ec2:CreateNetworkInterface"\n    ],\n'),
        ('"ec2:CreateNetworkInterface",\n    ]\n', '"ec2:CreateNetworkInterface"\n    ],\n'),
        (
            '"ec2:DeleteNetworkInterfacePermission",\n    ]\n',
            '"ec2:DeleteNetworkInterfacePermission"\n    ],\n',
        ),
        ('"true",', '"true"'),
    ),
    "190": (('ResponseStream"\n        ]\n', 'ResponseStream"\n        ],\n'),),
    "192": (("        }\n    }\n]", "        }\n    ]"),),
}


def example(number: str, **placeholders: str) -> str:
    """A document of the guide as its reader completes it."""
    text = (EXAMPLES / f"RUN-{number}.json").read_text(encoding="utf-8")
    for broken, mended in REPAIRS.get(number, ()):
        assert broken in text, (number, broken)
        text = text.replace(broken, mended, 1)
    return fill(text, placeholders)


def fill(text: str, placeholders: Mapping[str, str]) -> str:
    """Underscores of a name here are what the document writes between its words."""
    for name, value in placeholders.items():
        spellings = [name, name.replace("_", "-"), name.replace("_", " ")]
        found = next((each for each in spellings if each in text), None)
        assert found is not None, f"{name} is not in the document"
        text = text.replace(found, value)
    return text


def deny(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:10]}"


@dataclass
class Person:
    """Somebody with credentials: a user, a root user or a session."""

    gateway: Gateway
    name: str
    arn: str
    key: str
    secret: str
    token: str | None = None

    def client(
        self,
        service: str,
        *,
        region: str = REGION,
        verify: str | None = None,
        **settings: Any,
    ) -> Any:
        config = cast(Any, botocore.config).Config
        return cast(Any, boto3).client(
            service,
            region_name=region,
            endpoint_url=self.gateway.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            verify=verify,
            config=config(retries={"total_max_attempts": 1}, read_timeout=60, **settings),
        )

    def ask(self, operation: str, /, **params: Any) -> Any:
        """``bedrock:list_foundation_models``."""
        service, _, method = operation.partition(":")
        return getattr(self.client(service), method)(**params)

    def refusal(self, operation: str, /, **params: Any) -> str:
        """The error's code; empty where the operation succeeds."""
        try:
            self.ask(operation, **params)
        except ClientError as error:
            return refused(error)[1]
        return ""

    def message(self, operation: str, /, **params: Any) -> str:
        with pytest.raises(ClientError) as caught:
            self.ask(operation, **params)
        return refused(caught.value)[2]

    def invokes(self, model: str = CLAUDE) -> bool:
        """Whether the model answers; any refusal but a denial is an error here."""
        return may(self.refusal("bedrock-runtime:converse", **turn(model)))


def may(code: str) -> bool:
    """An operation that is not there is told only to whoever may ask for it."""
    assert code in ("", "NotImplementedException", *DENIED), code
    return code not in DENIED


def may_ask(code: str) -> bool:
    """Whatever else the operation says to a request that is not quite right."""
    return code not in DENIED


DENIED = ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation")


def refused(error: ClientError) -> tuple[int, str, str]:
    response: Any = error.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    # Bedrock spells the member ``Message`` where it denies; botocore then leaves its own empty.
    message = response["Error"].get("Message") or response.get("Message", "")
    return status, response["Error"]["Code"], message


def turn(model: str = CLAUDE) -> dict[str, Any]:
    return {"modelId": model, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


@dataclass
class Account:
    """An account, and its administrator, who makes everyone else."""

    id: str
    admin: Person

    @property
    def iam(self) -> Any:
        return self.admin.client("iam")

    def arn(self, noun: str, name: str) -> str:
        return f"arn:aws:iam::{self.id}:{noun}/{name}"

    def user(self, *documents: str, name: str | None = None, **fields: Any) -> Person:
        """With these inline policies and one access key."""
        name = name or unique("user")
        self.iam.create_user(UserName=name, **fields)
        for number, text in enumerate(documents):
            self.iam.put_user_policy(
                UserName=name, PolicyName=f"granted-{number}", PolicyDocument=text
            )
        return self.signing(name)

    def signing(self, name: str) -> Person:
        """The user with one more access key."""
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        arn = self.iam.get_user(UserName=name)["User"]["Arn"]
        return Person(self.admin.gateway, name, arn, key["AccessKeyId"], key["SecretAccessKey"])

    def policy(self, text: str) -> str:
        """The ARN of a managed policy."""
        made = self.iam.create_policy(PolicyName=unique("policy"), PolicyDocument=text)
        return made["Policy"]["Arn"]

    def role(self, *documents: str, trust: str | None = None, **fields: Any) -> str:
        """The ARN of a role that the whole account is trusted to assume."""
        name = unique("role")
        made = self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=trust or self.trusting(), **fields
        )
        for number, text in enumerate(documents):
            self.iam.put_role_policy(
                RoleName=name, PolicyName=f"granted-{number}", PolicyDocument=text
            )
        return made["Role"]["Arn"]

    def trusting(self, principal: str | None = None) -> str:
        principal = principal or f"arn:aws:iam::{self.id}:root"
        trusted: dict[str, Any] = {"AWS": principal}
        statement = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
        return document(statement)

    def session(self, *documents: str, **params: Any) -> Person:
        """Of a new role with these policies."""
        return assume(self.admin, self.role(*documents), **params)


def assume(person: Person, role_arn: str, **params: Any) -> Person:
    request = {"RoleArn": role_arn, "RoleSessionName": "me"} | params
    answer = person.ask("sts:assume_role", **request)
    return of_session(person.gateway, answer["AssumedRoleUser"]["Arn"], answer)


def of_session(gateway: Gateway, arn: str, answer: Mapping[str, Any]) -> Person:
    keys = answer["Credentials"]
    return Person(
        gateway,
        arn.rpartition("/")[2],
        arn,
        keys["AccessKeyId"],
        keys["SecretAccessKey"],
        keys["SessionToken"],
    )


def simulated(
    account: Account,
    arn: str,
    *actions: str,
    context: Mapping[str, str | list[str]] | None = None,
    **at: Any,
) -> dict[str, str]:
    """What SimulatePrincipalPolicy decides of each action."""
    entries = [_entry(key, value) for key, value in (context or {}).items()]
    results = account.iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=list(actions), ContextEntries=entries, **at
    )["EvaluationResults"]
    return {each["EvalActionName"]: each["EvalDecision"] for each in results}


def _entry(key: str, value: str | list[str]) -> dict[str, Any]:
    several = isinstance(value, list)
    return {
        "ContextKeyName": key,
        "ContextKeyValues": value if several else [value],
        "ContextKeyType": "stringList" if several else "string",
    }
