"""The kinds of jobs behind custom models: whoever asks for one and whoever does it name it so."""

from typing import Final

CUSTOMIZE: Final = "customize-model"
"""Its subject is the ARN of a customization job."""
DEPLOY: Final = "deploy-custom-model"
"""Its subject is the ARN of a custom model deployment."""
RETIRE: Final = "retire-custom-model-engine"
"""Its subject is the ARN of a custom model that a deployment no longer serves."""
DISCARD: Final = "discard-custom-model"
"""Its subject is the ARN of a custom model that was deleted; its payload, what is left of it."""
