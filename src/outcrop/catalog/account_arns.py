"""ARNs of the models that an account has of its own: built here only."""

import secrets
import string
from typing import Final

from outcrop.catalog.arns import partition_of

_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_LENGTH: Final = 12


def new_resource_id() -> str:
    """As the service makes them: 12 lower-case letters and digits, never given twice."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def provisioned_model_arn(region: str, account: str, resource_id: str) -> str:
    return f"{_prefix(region, account)}:provisioned-model/{resource_id}"


def custom_model_arn(region: str, account: str, base_model: str, resource_id: str) -> str:
    return f"{_prefix(region, account)}:custom-model/{base_model}/{resource_id}"


def customization_job_arn(region: str, account: str, base_model: str, resource_id: str) -> str:
    return f"{_prefix(region, account)}:model-customization-job/{base_model}/{resource_id}"


def deployment_arn(region: str, account: str, resource_id: str) -> str:
    return f"{_prefix(region, account)}:custom-model-deployment/{resource_id}"


def application_profile_arn(region: str, account: str, resource_id: str) -> str:
    return f"{_prefix(region, account)}:application-inference-profile/{resource_id}"


def _prefix(region: str, account: str) -> str:
    return f"arn:{partition_of(region)}:bedrock:{region}:{account}"
