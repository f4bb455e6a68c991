"""The policy simulator: decisions as a request would get them, with the statements that made them.

A result is one action's. With resources given, each has its own part in it, and the result as a
whole is what all of them have in common: allowed only where every one is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from outcrop.authorization.simulation import Outcome, Scene, context_keys, policies_of
from outcrop.security.policy.document import Position, parse_policy
from outcrop.security.policy.evaluate import StatementExplanation
from outcrop.services.call import Call
from outcrop.services.iam.listing import listed
from outcrop.services.iam.simulation_inputs import (
    check_questions,
    custom_scene,
    get_holder,
    parse_inputs,
    principal_scene,
)
from outcrop.services.operation import operation

_DECISIONS: Final = {
    "allowed": "allowed",
    "explicit-deny": "explicitDeny",
    "implicit-deny": "implicitDeny",
}
_WORST_FIRST: Final = ("explicitDeny", "implicitDeny", "allowed")
# As recorded; the model's enumeration is not what IAM sends.
_SOURCE_TYPES: Final = {
    "identity": "IAM Policy",
    "boundary": "Permissions Boundary Policy",
    "resource": "Resource Policy",
}


@operation
async def simulate_principal_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_questions(params)
    return _simulated(call, params, principal_scene(call, params))


@operation
async def simulate_custom_policy(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    check_questions(params)
    return _simulated(call, params, custom_scene(call, params))


@operation
async def get_context_keys_for_custom_policy(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    return {"ContextKeyNames": context_keys(parse_inputs(params["PolicyInputList"]))}


@operation
async def get_context_keys_for_principal_policy(
    call: Call, params: Mapping[str, Any]
) -> dict[str, Any]:
    holder = get_holder(call, params["PolicySourceArn"])
    own = [
        parse_policy(each.text, "identity") for each in policies_of(call.stores.directory, holder)
    ]
    given = parse_inputs(params.get("PolicyInputList", ()))
    return {"ContextKeyNames": context_keys([*own, *given])}


def _simulated(call: Call, params: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """Only what is on the asked-for page is decided."""
    answer = listed(call, params, params["ActionNames"])
    resources = params.get("ResourceArns") or ["*"]
    answer["EvaluationResults"] = [
        _result(scene, action, resources) for action in answer["EvaluationResults"]
    ]
    return answer


def _result(scene: Scene, action: str, resources: Sequence[str]) -> dict[str, Any]:
    outcomes = [scene.play(action, resource) for resource in resources]
    decisions = [_DECISIONS[each.explanation.decision.reason] for each in outcomes]
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": resources[0] if len(resources) == 1 else "*",
        "EvalDecision": next(each for each in _WORST_FIRST if each in decisions),
        "MatchedStatements": _unique(
            statement for outcome in outcomes for statement in _matched(outcome)
        ),
        "MissingContextValues": _unique(
            key for outcome in outcomes for key in outcome.missing_keys
        ),
        **_bounds(outcomes),
    }
    if list(resources) != ["*"]:
        result["ResourceSpecificResults"] = [
            _resource_result(resource, outcome)
            for resource, outcome in zip(resources, outcomes, strict=True)
        ]
    return result


def _resource_result(resource: str, outcome: Outcome) -> dict[str, Any]:
    bounds = _bounds([outcome])
    # The shape has no place for what the organization says of one resource.
    bounds.pop("OrganizationsDecisionDetail", None)
    return {
        "EvalResourceName": resource,
        "EvalResourceDecision": _DECISIONS[outcome.explanation.decision.reason],
        "MatchedStatements": _matched(outcome),
        "MissingContextValues": outcome.missing_keys,
        **bounds,
    }


def _bounds(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What organization and boundary say, where there are any."""
    found: dict[str, Any] = {}
    organization = [outcome.allowed_by_organization for outcome in outcomes]
    if None not in organization:
        found["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": all(organization)}
    boundary = [outcome.allowed_by_boundary for outcome in outcomes]
    if None not in boundary:
        found["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": all(boundary)}
    return found


def _matched(outcome: Outcome) -> list[dict[str, Any]]:
    """Of identity and resource policies the denials, if any, else what allows; of a boundary its
    denials. Statements of service control policies are not shown."""
    matching = [each for each in outcome.explanation.statements if each.matched]
    own = [each for each in matching if each.layer in ("identity", "resource")]
    denials = [each for each in own if each.statement.effect == "Deny"]
    bounding = [
        each for each in matching if each.layer == "boundary" and each.statement.effect == "Deny"
    ]
    return [_statement(each) for each in (*(denials or own), *bounding)]


def _statement(explained: StatementExplanation) -> dict[str, Any]:
    return {
        "SourcePolicyId": explained.policy,
        "SourcePolicyType": _SOURCE_TYPES[explained.layer],
        "StartPosition": _position(explained.statement.start),
        "EndPosition": _position(explained.statement.end),
    }


def _position(position: Position) -> dict[str, int]:
    return {"Line": position.line, "Column": position.column}


def _unique(items: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found
