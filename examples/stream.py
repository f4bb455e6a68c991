"""Asks anthropic.claude-v2 through plain boto3 and prints the answer as it comes.

Endpoint and credentials come from the environment: eval "$(outcrop env)".
"""

import json
import sys

import boto3

QUESTION = "Why does granite come to the surface of the earth? Answer in three sentences."


def main() -> None:
    runtime = boto3.client("bedrock-runtime")
    sys.stdout.write(f"anthropic.claude-v2 is asked: {QUESTION}\n\n")
    response = runtime.invoke_model_with_response_stream(
        modelId="anthropic.claude-v2",
        body=json.dumps(
            {"prompt": f"\n\nHuman: {QUESTION}\n\nAssistant:", "max_tokens_to_sample": 200}
        ),
    )
    for event in response["body"]:
        chunk = json.loads(event["chunk"]["bytes"])
        sys.stdout.write(chunk["completion"])
        sys.stdout.flush()
    served_by = response["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"]
    sys.stdout.write(f"\n\nThe model that really answered: {served_by}\n")


if __name__ == "__main__":
    main()
