"""Requests about access to models, as the console and today's SDKs make them."""

import json
from typing import Any, cast

import botocore.auth
import botocore.awsrequest
from botocore.credentials import Credentials
from in_process import HOST, Client, as_received, whole

TITAN = "amazon.titan-text-express-v1"
CLAUDE = "anthropic.claude-v2"
INSTANT = "anthropic.claude-instant-v1"
JURASSIC = "ai21.j2-mid-v1"
LLAMA = "meta.llama2-13b-chat-v1"

NO_ACCESS = "You don't have access to the model with the specified model ID."
UNRESOLVED = "Could not resolve the foundation model from the provided model identifier."
NO_USE_CASE = "Model use case details have not been submitted for this account"
NO_MARKETPLACE = (
    "Model access is denied due to IAM user or service role is not authorized to perform the "
    "required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, "
    "aws-marketplace:Subscribe) to enable access to this model."
)


async def entitle(client: Client, model: str) -> tuple[int, dict[str, Any]]:
    """The console's operation, which no SDK has."""
    return await _signed(client, "POST", "", json.dumps({"modelId": model}).encode())


async def disentitle(client: Client, model: str) -> tuple[int, dict[str, Any]]:
    return await _signed(client, "DELETE", "/" + model.replace(":", "%3A"), b"")


async def agree(client: Client, model: str) -> None:
    """Accepts the first offer."""
    listed = await client.ask("bedrock", "ListFoundationModelAgreementOffers", modelId=model)
    token = listed["offers"][0]["offerToken"]
    await client.ask("bedrock", "CreateFoundationModelAgreement", modelId=model, offerToken=token)


async def say_use_case(client: Client) -> None:
    await client.ask("bedrock", "PutUseCaseForModelAccess", formData=b'{"companyName": "Acme"}')


async def converse(client: Client, model: str) -> str:
    """The answer."""
    answer = await client.ask(
        "bedrock-runtime",
        "Converse",
        modelId=model,
        messages=[{"role": "user", "content": [{"text": "Hello"}]}],
    )
    return answer["output"]["message"]["content"][0]["text"]


async def _signed(
    client: Client, method: str, path: str, body: bytes
) -> tuple[int, dict[str, Any]]:
    request: Any = cast(Any, botocore.awsrequest).AWSRequest(
        method=method,
        url=f"http://{HOST}/foundation-model-entitlement{path}",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    credentials = Credentials(client.keys.id, client.keys.secret, client.keys.token)
    cast(Any, botocore.auth).SigV4Auth(credentials, "bedrock", client.region).add_auth(request)
    response = await client.app.handle(as_received(request))
    return response.status, json.loads(await whole(response))
