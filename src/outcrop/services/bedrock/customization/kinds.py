"""The kinds of jobs behind custom models: whoever asks for one and whoever does it name it so."""

from typing import Final

CUSTOMIZE: Final = "customize-model"
"""Its subject is the ARN of a customization job."""
DEPLOY: Final = "deploy-custom-model"
"""Its subject is the ARN of a custom model deployment."""
