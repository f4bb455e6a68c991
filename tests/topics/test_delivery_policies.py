"""When a failed delivery to an HTTP endpoint is tried again, by its delivery policy."""

import json
from datetime import timedelta
from typing import Any

import pytest

from outcrop.topics.retries import (
    BadDeliveryPolicy,
    Retries,
    effective,
    parse_subscription_policy,
    parse_topic_policy,
)


def test_the_phases_follow_one_another() -> None:
    retries = Retries(
        minDelayTarget=2,
        maxDelayTarget=10,
        numRetries=8,
        numNoDelayRetries=1,
        numMinDelayRetries=2,
        numMaxDelayRetries=1,
    )
    assert list(retries.delays()) == [0, 2, 2, 4, 6, 8, 10, 10]


@pytest.mark.parametrize("function", ["arithmetic", "exponential", "geometric", "linear"])
def test_every_function_rises_to_the_greatest_delay(function: Any) -> None:
    delays = list(
        Retries(
            minDelayTarget=1, maxDelayTarget=60, numRetries=10, backoffFunction=function
        ).delays()
    )
    assert delays == sorted(delays)
    assert len(delays) == 10
    assert round(delays[-1], 6) == 60


def test_the_next_attempt_follows_from_the_age_of_the_delivery() -> None:
    retries = Retries(numRetries=2)
    assert retries.next_pause(timedelta()) == timedelta(seconds=20)
    assert retries.next_pause(timedelta(seconds=25)) == timedelta(seconds=15)
    assert retries.next_pause(timedelta(seconds=40)) is None


def test_a_subscription_has_its_topics_policy_where_it_has_none() -> None:
    topic = json.dumps(
        {
            "http": {
                "defaultHealthyRetryPolicy": {"numRetries": 5},
                "defaultRequestPolicy": {"headerContentType": "text/plain"},
            }
        }
    )
    own = json.dumps({"healthyRetryPolicy": {"numRetries": 7}})
    found = effective(topic, own)
    assert found.retries is not None
    assert (found.retries.numRetries, found.content_type) == (7, "text/plain")
    assert effective(None, None).retries is None


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "[]",
        "{",
        '{"healthyRetryPolicy": {"numRetries": 101}}',
        '{"healthyRetryPolicy": {"numRetries": 1, "numMinDelayRetries": 2}}',
        '{"healthyRetryPolicy": {"minDelayTarget": 30}}',
        '{"healthyRetryPolicy": {"numRetries": "3"}}',
        '{"healthyRetryPolicy": []}',
        '{"throttlePolicy": {"maxReceivesPerSecond": 1}}',
        '{"requestPolicy": {"headerContentType": "a\\r\\nb: c"}}',
        '{"unknown": 1}',
    ],
)
def test_what_is_not_honoured_is_refused(policy: str) -> None:
    with pytest.raises(BadDeliveryPolicy):
        parse_subscription_policy(policy)


def test_an_empty_throttle_asks_for_nothing() -> None:
    text = '{"throttlePolicy": {"maxReceivesPerSecond": null}, "sicklyRetryPolicy": null}'
    assert parse_subscription_policy(text).retries is None
    assert parse_topic_policy('{"http": {"disableSubscriptionOverrides": false}}').retries is None
