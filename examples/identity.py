"""Makes a user who may call one model, calls two as that user, and shows what is denied and why.

Endpoint and credentials come from the environment: eval "$(outcrop env)". The user goes again.
"""

import json
import sys

import boto3

USER = "example-ann"
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Sid": "OneModel",
        "Effect": "Allow",
        "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
        "Resource": "arn:aws:bedrock:*::foundation-model/anthropic.claude-v2",
    },
}
MODELS = ("anthropic.claude-v2", "amazon.titan-text-express-v1")


def main() -> None:
    iam = boto3.client("iam")
    iam.create_user(UserName=USER)
    try:
        iam.put_user_policy(UserName=USER, PolicyName="one", PolicyDocument=json.dumps(POLICY))
        key = iam.create_access_key(UserName=USER)["AccessKey"]
        try:
            call_as(key)
        finally:
            iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
            iam.delete_user_policy(UserName=USER, PolicyName="one")
    finally:
        iam.delete_user(UserName=USER)


def call_as(key: dict) -> None:
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])
    say(f"Calling as {session.client('sts').get_caller_identity()['Arn']}")
    runtime = session.client("bedrock-runtime")
    for model in MODELS:
        try:
            answer = runtime.converse(
                modelId=model,
                messages=[{"role": "user", "content": [{"text": "What is granite?"}]}],
                inferenceConfig={"maxTokens": 40},
            )
        except runtime.exceptions.AccessDeniedException as error:
            say(f"{model}: denied. {error.response['Error']['Message']}")
        else:
            say(f"{model}: allowed. {answer['output']['message']['content'][0]['text']}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
