"""HTTP endpoints of subscriptions: one POST, with AWS's headers, bounded in time and size.

Redirects are not followed: what was confirmed is the address that was subscribed.
"""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from outcrop.jobs.delivery import NotDelivered
from outcrop.outward.addresses import is_refused_host
from outcrop.outward.connections import connector
from outcrop.topics.messages import Message

TIMEOUT_S: Final = 15.0
"""How long AWS waits for an answer."""

CONTENT_TYPE: Final = "text/plain; charset=UTF-8"
_USER_AGENT: Final = "Amazon Simple Notification Service Agent"
_READ_BYTES: Final = 64 * 1024
_LATER: Final = (408, 429)


class Undeliverable(Exception):
    """Trying again would not help: the destination refuses for good."""


def headers_of(
    message: Message, subscription_arn: str | None, *, raw: bool, content_type: str | None
) -> dict[str, str]:
    headers = {
        "x-amz-sns-message-type": message.kind,
        "x-amz-sns-message-id": message.id,
        "x-amz-sns-topic-arn": message.topic_arn,
        "Content-Type": content_type or CONTENT_TYPE,
        "User-Agent": _USER_AGENT,
    }
    if subscription_arn is not None:
        headers["x-amz-sns-subscription-arn"] = subscription_arn
    if raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    return headers


async def post(url: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raises ``NotDelivered`` or ``Undeliverable``."""
    try:
        # Read once: whom we look at is whom we connect to.
        target = URL(url)
    except ValueError as error:
        raise Undeliverable("The endpoint's URL cannot be read.") from error
    if is_refused_host(target.host or ""):
        raise Undeliverable(f"{target.host} is not asked: it is a link-local address.")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=connector(), auto_decompress=False
            ) as session,
            session.post(target, data=body, headers=headers, allow_redirects=False) as response,
        ):
            await response.content.read(_READ_BYTES)
            status = response.status
    except TimeoutError as error:
        raise NotDelivered(f"The endpoint did not answer within {TIMEOUT_S:g} s.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotDelivered(f"The endpoint cannot be reached: {error}") from error
    if 200 <= status < 300:
        return
    if 300 <= status < 500 and status not in _LATER:
        raise Undeliverable(f"The endpoint answered {status}.")
    raise NotDelivered(f"The endpoint answered {status}.")
