"""Where dead letters may go: a queue of the same owner and kind that lets the source in."""

from collections.abc import Mapping

from outcrop.queues.attributes import allows_source, read_redrive
from outcrop.queues.faults import invalid_value
from outcrop.services.sqs.references import find_queue, settings_of
from outcrop.stores.resources import View

_PLACE = slice(2, 5)
"""Service, region and account of an ARN."""


async def check_redrive(
    view: View, source_arn: str, changes: Mapping[str, str], attributes: Mapping[str, str]
) -> None:
    """``attributes`` are those that the source has with its ``changes``."""
    text = changes.get("RedrivePolicy")
    if not text:
        return
    target_arn = read_redrive(text).target
    if target_arn.split(":")[_PLACE] != source_arn.split(":")[_PLACE]:
        reason = "Dead letter target owner should be same as the source."
        raise invalid_value("RedrivePolicy", text, reason)
    target = await find_queue(view, target_arn)
    if target is None:
        raise invalid_value("RedrivePolicy", text, "Dead letter target does not exist.")
    if settings_of(target).is_fifo != (attributes.get("FifoQueue") == "true"):
        reason = "Dead-letter queue must be same type of queue as the source."
        raise invalid_value("RedrivePolicy", text, reason)
    if not allows_source(target.record.attributes.get("RedriveAllowPolicy"), source_arn):
        reason = "The RedriveAllowPolicy of the dead-letter queue does not let the source in."
        raise invalid_value("RedrivePolicy", text, reason)
