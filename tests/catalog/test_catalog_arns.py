import pytest
from hypothesis import given, strategies as st

from outcrop.catalog.arns import (
    FoundationModelArn,
    InferenceProfileArn,
    foundation_model_arn,
    inference_profile_arn,
    parse_arn,
    partition_of,
)

REGIONS = st.from_regex(r"[a-z]{2}(-gov)?-[a-z]{4,9}-[1-9]", fullmatch=True)
ACCOUNTS = st.from_regex(r"[0-9]{12}", fullmatch=True)
IDS = st.from_regex(r"[a-z0-9-]{1,20}\.[a-z0-9-]{1,20}(:[0-9a-z]{1,4}){0,2}", fullmatch=True)


@given(REGIONS, IDS)
def test_a_foundation_model_arn_reads_back(region: str, model_id: str) -> None:
    arn = parse_arn(foundation_model_arn(region, model_id))
    assert arn == FoundationModelArn(partition_of(region), region, model_id)


@given(REGIONS, ACCOUNTS, IDS)
def test_an_inference_profile_arn_reads_back(region: str, account: str, profile_id: str) -> None:
    arn = parse_arn(inference_profile_arn(region, account, profile_id))
    assert arn == InferenceProfileArn(partition_of(region), region, account, profile_id)


@given(st.text() | st.from_regex(r"arn:aws:bedrock:.*"))
def test_whatever_parses_is_written_back_as_it_was(text: str) -> None:
    arn = parse_arn(text)
    assert arn is None or str(arn) == text


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_the_partition_follows_from_the_region(region: str, partition: str) -> None:
    assert foundation_model_arn(region, "a.b") == f"arn:{partition}:bedrock:{region}::" + (
        "foundation-model/a.b"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arn:",
        "anthropic.claude-v2",
        "arn:aws:bedrock:us-east-1::foundation-model/",
        "arn:aws:bedrock:us-east-1::foundation-model/a.b\n",
        "arn:aws:bedrock:us-east-1::foundation-model/a.b/c",
        "arn:aws:bedrock:us-east-1:123456789012:foundation-model/a.b",
        "arn:aws:bedrock:us-east-1::inference-profile/us.a.b",
        "arn:aws:bedrock:us-east-1:12345678901:inference-profile/us.a.b",
        "arn:aws:bedrock:us-east-1:١٢٣٤٥٦٧٨٩٠١٢:inference-profile/us.a.b",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl",
        "arn:aws:s3:us-east-1::foundation-model/a.b",
        "arn:aws:bedrock:us-east-1::foundation-model/a." + "b" * 2048,
    ],
)
def test_other_texts_are_not_arns_of_models(text: str) -> None:
    assert parse_arn(text) is None
