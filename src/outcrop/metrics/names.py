"""What Bedrock's metrics are called, as the user guide of November 2023 has them.

The guide's unit "SampleCount" is CloudWatch's ``Count``: it is what Bedrock publishes and what
alarms on these metrics ask for.
"""

from typing import Final

NAMESPACE: Final = "AWS/Bedrock"

INVOCATIONS: Final = "Invocations"
LATENCY: Final = "InvocationLatency"
CLIENT_ERRORS: Final = "InvocationClientErrors"
SERVER_ERRORS: Final = "InvocationServerErrors"
THROTTLES: Final = "InvocationThrottles"
INPUT_TOKENS: Final = "InputTokenCount"
OUTPUT_TOKENS: Final = "OutputTokenCount"
FILTERED: Final = "ContentFilteredCount"
IMAGES: Final = "OutputImageCount"

LOGS_TO_CLOUDWATCH: Final = (
    "ModelInvocationLogsCloudWatchDeliverySuccess",
    "ModelInvocationLogsCloudWatchDeliveryFailure",
)
LOGS_TO_S3: Final = (
    "ModelInvocationLogsS3DeliverySuccess",
    "ModelInvocationLogsS3DeliveryFailure",
)
LARGE_DATA_TO_S3: Final = (
    "ModelInvocationLargeDataS3DeliverySuccess",
    "ModelInvocationLargeDataS3DeliveryFailure",
)
DELIVERIES: Final = (*LOGS_TO_CLOUDWATCH, *LOGS_TO_S3, *LARGE_DATA_TO_S3)
"""Each pair is success and failure."""
