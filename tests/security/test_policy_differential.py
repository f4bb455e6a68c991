"""The policy engine beside an independent evaluator, over thousands of generated cases.

Both must agree but for the differences that are listed by name and explained; and the cases must
be sharp enough to find each of the bugs that are planted here for the purpose.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from policy_cases import FORMS, Case, generate
from policy_differences import DIFFERENCES, find_difference
from policy_mutants import MUTANTS
from policy_simulator import Simulator

from outcrop.security.policy.evaluate import Reason, decide

SEED = 20_261_122
COUNT = 25_000
COMPARED = 20_000
VERDICTS: dict[Reason, str] = {
    "allowed": "Allowed",
    "explicit-deny": "ExplicitlyDenied",
    "implicit-deny": "ImplicitlyDenied",
}


@dataclass(frozen=True)
class Pair:
    case: Case
    # The independent evaluator's.
    verdict: str
    difference: Callable[[Case], bool] | None


def ours(case: Case) -> str:
    return VERDICTS[decide(case.request(), case.layers()).reason]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    simulator = Simulator(tmp_path_factory.mktemp("iam-simulate"))
    cases = generate(SEED, COUNT)
    verdicts = simulator.verdicts(cases)
    return [
        Pair(case, verdict, find_difference(case))
        for case, verdict in zip(cases, verdicts, strict=True)
    ]


@pytest.fixture(scope="module")
def compared(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.difference is None]


def find_disagreement(pairs: Iterable[Pair]) -> Pair | None:
    return next((pair for pair in pairs if ours(pair.case) != pair.verdict), None)


def test_both_evaluators_agree(compared: list[Pair]) -> None:
    assert len(compared) >= COMPARED
    disagreed = [pair for pair in compared if ours(pair.case) != pair.verdict]
    assert disagreed == []


def test_the_cases_are_allowed_and_denied_in_fair_shares(compared: list[Pair]) -> None:
    shares = Counter(pair.verdict == "Allowed" for pair in compared)
    assert min(shares[True], shares[False]) >= 0.3 * len(compared)
    assert {pair.verdict for pair in compared} == set(VERDICTS.values())


def test_every_form_of_every_operator_is_compared_both_ways(compared: list[Pair]) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    for pair in compared:
        for statement in pair.case.statements():
            for operator in statement.get("Condition", {}):
                seen[operator, pair.verdict == "Allowed"] += 1
    for qualifier, operator, suffix in FORMS:
        form = f"{qualifier}{operator}{suffix}"
        assert min(seen[form, True], seen[form, False]) >= 10, form


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda differs: differs.__name__)
def test_a_listed_difference_is_one(difference: Callable[[Case], bool], pairs: list[Pair]) -> None:
    excused = (pair for pair in pairs if pair.difference is difference)
    assert find_disagreement(excused) is not None


@pytest.mark.parametrize("bug", MUTANTS)
def test_a_planted_bug_is_found(
    bug: str, compared: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[bug](monkeypatch)
    assert find_disagreement(compared) is not None


def test_twenty_bugs_are_planted() -> None:
    assert len(MUTANTS) == 20
