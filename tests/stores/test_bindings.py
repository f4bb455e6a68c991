"""Engine bindings made at run time."""

import pytest
from opened_stores import Opened

from outcrop.config import Binding
from outcrop.stores.bindings import BindingStore
from outcrop.stores.failures import NoSuchItem


async def test_bindings_come_in_the_order_they_were_put(stores: Opened) -> None:
    bindings = BindingStore(stores.database)
    first = Binding(pattern="anthropic.*", engine="smollm2")
    second = Binding(pattern="meta.*", engine="vllm", model="llama-3")
    await bindings.put(first)
    await bindings.put(second)
    assert await bindings.list_bindings() == [first, second]
    again = Binding(pattern="anthropic.*", engine="vllm")
    await bindings.put(again)
    assert await bindings.list_bindings() == [second, again]


async def test_a_binding_is_deleted_once(stores: Opened) -> None:
    bindings = BindingStore(stores.database)
    await bindings.put(Binding(pattern="*", engine="smollm2"))
    await bindings.delete("*")
    assert await bindings.list_bindings() == []
    with pytest.raises(NoSuchItem):
        await bindings.delete("*")
