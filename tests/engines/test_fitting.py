"""An adapter is fitted to the weights that it was trained on, and to no others."""

import threading
from typing import Final

import pytest
from adapters_at_hand import Adapter, AdaptersAtHand

from outcrop.engines.fitting import AdapterUnavailable, Fitting
from outcrop.engines.protocol import EngineFailed

ARN: Final = "arn:aws:bedrock:us-east-1:123456789012:custom-model/base/0123456789ab"


def at_hand() -> AdaptersAtHand:
    return AdaptersAtHand({ARN: Adapter("these weights", b"gguf", {})})


async def test_the_weights_are_read_beside_the_event_loop():
    threads = list[int]()

    def read() -> str:
        threads.append(threading.get_ident())
        return "these weights"

    facts = await Fitting(at_hand(), ARN, read, "base").facts()
    assert facts.base == "these weights"
    assert threads
    assert threading.get_ident() not in threads


async def test_other_weights_are_refused_by_both_names():
    with pytest.raises(EngineFailed, match=r"on 'these weights', which 'others' is not"):
        await Fitting(at_hand(), ARN, lambda: "others", "base").facts()


@pytest.mark.parametrize("may_pass", [True, False])
async def test_who_waits_for_an_adapter_knows_whether_waiting_helps(may_pass: bool):
    adapters = at_hand()
    adapters.closed, adapters.may_pass = "KMS says nothing", may_pass
    with pytest.raises(AdapterUnavailable, match="KMS says nothing") as raised:
        await Fitting(adapters, ARN, lambda: "these weights", "base").read_gguf()
    assert raised.value.may_pass is may_pass
