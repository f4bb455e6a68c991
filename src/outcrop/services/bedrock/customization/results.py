"""What a customization job was told and what came of it, as answers about it and its model say."""

from typing import Any

from outcrop.stores.customization_records import CustomizationJob


def render_results(job: CustomizationJob) -> dict[str, Any]:
    """The members that GetModelCustomizationJob and GetCustomModel share."""
    results: dict[str, Any] = {
        "customizationType": job.type,
        "hyperParameters": job.hyperparameters,
        "trainingDataConfig": {"s3Uri": job.training_uri},
        "outputDataConfig": {"s3Uri": job.output_uri},
        "validationMetrics": [{"validationLoss": loss} for loss in job.validation_losses],
    }
    if job.validation_uris:
        validators = [{"s3Uri": uri} for uri in job.validation_uris]
        results["validationDataConfig"] = {"validators": validators}
    if job.training_loss is not None:
        results["trainingMetrics"] = {"trainingLoss": job.training_loss}
    return results
