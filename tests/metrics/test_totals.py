"""Totals of Bedrock's metrics in memory."""

from outcrop.metrics.totals import LATENCY_BOUNDS_MS, OTHERS, Key, Totals


def key(model: str) -> Key:
    return Key("123456789012", "us-east-1", model)


def test_counts_add_up_by_name_and_key() -> None:
    totals = Totals()
    totals.add("Invocations", key("a"), 1)
    totals.add("Invocations", key("a"), 2)
    totals.add("Invocations", key("b"), 1)
    totals.add("InputTokenCount", key("a"), 7)
    assert totals.counts == {
        "Invocations": {key("a"): 3, key("b"): 1},
        "InputTokenCount": {key("a"): 7},
    }


def test_a_latency_counts_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    totals = Totals()
    for latency_ms in (1, LATENCY_BOUNDS_MS[0], LATENCY_BOUNDS_MS[0] + 1, 10**7):
        totals.add_latency(key("a"), latency_ms)
    latency = totals.latencies[key("a")]
    assert (latency.count, latency.sum_ms) == (4, 1 + 5 + 6 + 10**7)
    assert latency.buckets[:2] == [2, 1]
    assert latency.buckets[-1] == 1


def test_keys_are_bounded_and_nothing_is_lost() -> None:
    totals = Totals(most_keys=2)
    for number in range(5):
        totals.add("Invocations", key(str(number)), 1)
        totals.add_latency(key(str(number)), 1)
    others = Key(OTHERS, OTHERS, OTHERS)
    assert totals.counts["Invocations"] == {key("0"): 1, key("1"): 1, others: 3}
    assert totals.latencies[others].count == 3
