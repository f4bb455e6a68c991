"""What a custom model is needed by: while there is any of it, the model stays."""

from typing import Final

from outcrop.stores.model_records import CustomModelDeployment, ProvisionedModel

CHANGING: Final = ("Creating", "Updating")


def needs(record: ProvisionedModel | CustomModelDeployment, model: str) -> bool:
    """Whether the model of this ARN serves there or is about to. What failed serves nothing, and a
    deployment whose update failed keeps saying what it was to be updated to."""
    if record.status == "Failed":
        return False
    return model == record.model or (record.status in CHANGING and model == record.desired_model)
