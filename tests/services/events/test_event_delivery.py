"""Events from PutEvents to their targets, through real queues."""

from pathlib import Path

import msgspec
import pytest
from event_worlds import put, received, rule_to_queue
from in_process import ADMIN, running_inside


async def test_an_event_that_matches_comes_to_its_target_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        client = inside.client(ADMIN)
        url = await rule_to_queue(client)
        await put(client, Source="other")
        event_id = await put(client, '{"order": 1.50}', Resources=["arn:aws:shop:::1"])
        message = await received(client, url)
        assert message is not None
        event = msgspec.json.decode(message["Body"])
        assert list(event) == [
            *("version", "id", "detail-type", "source", "account", "time", "region"),
            *("resources", "detail"),
        ]
        assert event["id"] == event_id
        assert event["detail"] == {"order": 1.5}
        assert '"detail":{"order": 1.50}' in message["Body"]
