"""Every recorded exchange of the real service, sent through the whole gateway and compared."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from recorded_exchanges import Exchange, exchanges, reasons_out_of_scope
from replay_differences import differences
from replay_exceptions import EXCEPTIONS, NOT_AS_RECORDED, NOT_BUILT, OTHER_VALUES
from replaying_gateway import ENVIRONMENT, Replay, open_gateway

REFUSED = {each: words for words, ids in NOT_BUILT.items() for each in ids}
IN_SCOPE = [each for each in exchanges() if each.id not in NOT_AS_RECORDED]
MOST_EXCEPTIONS = 0.05
MOST_NOT_BUILT = 13
"""May only fall: a feature that gets built leaves the table."""


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Replay]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield asyncio.run(_replay_all(tmp_path_factory.mktemp("replay")))


async def _replay_all(folder: Path) -> dict[str, Replay]:
    async with open_gateway(folder) as gateway:
        return {exchange.id: await gateway.replay(exchange) for exchange in exchanges()}


def _differences(exchange: Exchange, replays: dict[str, Replay]) -> list[str]:
    other = OTHER_VALUES.get(exchange.id)
    return differences(exchange, replays[exchange.id], frozenset(other[:1] if other else ()))


def _id(exchange: Exchange) -> str:
    model = exchange.model.id if exchange.model else "no-model"
    return f"{exchange.id}-{exchange.operation}-{model}"


@pytest.mark.parametrize("exchange", IN_SCOPE, ids=_id)
def test_the_gateway_answers_as_the_service_did(
    exchange: Exchange, replays: dict[str, Replay]
) -> None:
    found = _differences(exchange, replays)
    if exchange.id in REFUSED:
        answer = replays[exchange.id]
        assert found, "it is built and agrees with the recording: take it out of NOT_BUILT"
        assert answer.status == 400
        assert answer.headers["x-amzn-errortype"].startswith("ValidationException:")
        assert REFUSED[exchange.id] in msgspec.json.decode(answer.body)["message"]
    elif exchange.id in EXCEPTIONS:
        assert found, "it agrees with the recording now: take it out of the exceptions"
    else:
        assert found == []


@pytest.mark.parametrize("exchange_id", NOT_AS_RECORDED)
def test_what_was_not_recorded_as_it_was_is_answered_all_the_same(
    exchange_id: str, replays: dict[str, Replay]
) -> None:
    status, _ = NOT_AS_RECORDED[exchange_id]
    exchange = next(each for each in exchanges() if each.id == exchange_id)
    assert replays[exchange_id].status == status
    assert differences(exchange, replays[exchange_id]), "it agrees: it may be as it was recorded"


@pytest.mark.parametrize("exchange", [e for e in exchanges() if e.id in OTHER_VALUES], ids=_id)
def test_another_value_is_still_another(exchange: Exchange, replays: dict[str, Replay]) -> None:
    member, _ = OTHER_VALUES[exchange.id]
    found = differences(exchange, replays[exchange.id])
    assert found
    assert all(member in difference for difference in found)


def test_exceptions_are_few_and_each_stands_in_one_table() -> None:
    listed = [*REFUSED, *EXCEPTIONS, *OTHER_VALUES, *NOT_AS_RECORDED]
    assert len(listed) == len(set(listed))
    assert set(listed) <= {exchange.id for exchange in exchanges()}
    assert len(EXCEPTIONS) + len(REFUSED) < MOST_EXCEPTIONS * len(IN_SCOPE)
    assert len(REFUSED) <= MOST_NOT_BUILT


def test_the_readme_says_how_many_there_are() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    count = len(EXCEPTIONS) + len(REFUSED)
    told = f"Of {len(IN_SCOPE)} recorded exchanges with AWS, {count} are answered otherwise"
    assert told in readme


def test_what_is_not_replayed_is_counted() -> None:
    assert Counter(reasons_out_of_scope()) == {
        "bedrock-agent-runtime": 20,
        "bedrock-mantle": 13,
        "a model that is not in the catalog": 10,
        "ApplyGuardrail": 2,
    }
    assert len(exchanges()) == 452
    assert len(IN_SCOPE) == 443
