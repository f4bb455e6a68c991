"""What a simulation is asked with: policies, actions, resources, values of condition keys."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from outcrop.authorization.simulation import (
    Holder,
    Scene,
    find_holder,
    keys_at,
    keys_of,
    named,
    policies_of,
    scene_of,
    subject_of,
)
from outcrop.errors import ServiceError
from outcrop.security.policy.document import Kind, MalformedPolicy, Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Subject
from outcrop.services.call import Call
from outcrop.services.iam.simulation_exclusions import parse_exclusions

RESOURCE_POLICY: Final = "ResourcePolicy"

_INPUT: Final = "PolicyInputList"
_BOUNDARY_INPUT: Final = "PermissionsBoundaryPolicyInputList"
_ORGANIZATION_INPUT: Final = "OrderedOrganizationPolicyInputList"
_ACTION: Final = re.compile(r"[a-zA-Z0-9.-]+:[a-zA-Z0-9]+", re.ASCII)
_ACCOUNT: Final = re.compile(r"(?:arn:aws:iam::)?(\d{12})(?::root)?", re.ASCII)


def principal_scene(call: Call, params: Mapping[str, Any]) -> Scene:
    """The holder's policies with those of the request; a boundary given replaces its own."""
    holder = get_holder(call, params["PolicySourceArn"])
    left_out = parse_exclusions(params.get("PolicyExclusionList", ()))
    directory = call.stores.directory
    own = [each for each in policies_of(directory, holder) if not left_out.covers(each)]
    scene = scene_of(directory, holder, call.now, own)
    if left_out.cover_boundary:
        scene = replace(scene, layers=replace(scene.layers, boundary=None))
    if left_out.cover_service_control:
        scene = replace(scene, layers=replace(scene.layers, service_control=()))
    return _with_inputs(call, params, scene)


def custom_scene(call: Call, params: Mapping[str, Any]) -> Scene:
    """The policies of the request and no others; nobody in particular asks."""
    if RESOURCE_POLICY in params and "CallerArn" not in params:
        raise _invalid("A CallerArn is required with a ResourcePolicy.")
    nobody = Subject(arn="", account=call.account, kind="user")
    return _with_inputs(call, params, Scene(nobody, Layers(), keys_at(call.now)))


def get_holder(call: Call, arn: str) -> Holder:
    """A user, group or role of the caller's account."""
    if not arn.startswith("arn:aws:iam::"):
        raise _invalid(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    holder = find_holder(call.stores.directory, arn)
    if holder is None or holder.place.account != call.account:
        raise ServiceError("NoSuchEntity", f"The user, group or role {arn} cannot be found.")
    return holder


def parse_inputs(texts: Sequence[str]) -> tuple[Policy, ...]:
    return _parsed(texts, "identity", _INPUT)


def check_questions(params: Mapping[str, Any]) -> None:
    """Actions and resources must be such as a request can have."""
    for action in params["ActionNames"]:
        if not _ACTION.fullmatch(action):
            raise _invalid(f"Invalid Action Name: {action} is not the name of one action.")
    for resource in params.get("ResourceArns", ()):
        if resource != "*" and resource.count(":") < 5:
            raise _invalid(f"Invalid Resource Arn: {resource} is not an ARN.")
    if "ResourceHandlingOption" in params:
        raise _invalid(
            "The ResourceHandlingOption is for Amazon EC2 instances, which do not exist here. "
            "Leave it out, and name the resources in ResourceArns."
        )


def _with_inputs(call: Call, params: Mapping[str, Any], scene: Scene) -> Scene:
    if "CallerArn" in params:
        caller = get_holder(call, params["CallerArn"])
        keys = {**scene.keys, **keys_of(caller)}
        scene = replace(scene, subject=subject_of(caller), keys=keys)
    keys = {**scene.keys, **parse_context(params.get("ContextEntries", ()))}
    layers = _with_policies(params, scene.layers)
    return replace(scene, layers=layers, keys=keys, resource_account=_owner(params))


def _with_policies(params: Mapping[str, Any], layers: Layers) -> Layers:
    identity = (*layers.identity, *parse_inputs(params.get(_INPUT, ())))
    layers = replace(layers, identity=identity)
    bounds = _parsed(params.get(_BOUNDARY_INPUT, ()), "boundary", _BOUNDARY_INPUT)
    if len(bounds) > 1:
        raise _invalid("A principal has one permissions boundary at most.")
    if bounds:
        layers = replace(layers, boundary=bounds[0])
    levels = params.get(_ORGANIZATION_INPUT, ())
    if levels:
        service_control = tuple(
            _parsed(level.get("ServiceControlPolicyInputList", ()), "service-control", "SCP")
            for level in levels
        )
        layers = replace(layers, service_control=service_control)
    if RESOURCE_POLICY in params:
        (resource,) = _parsed([params[RESOURCE_POLICY]], "resource", RESOURCE_POLICY)
        layers = replace(layers, resource=resource)
    return layers


def _parsed(texts: Sequence[str], kind: Kind, prefix: str) -> tuple[Policy, ...]:
    try:
        if prefix == RESOURCE_POLICY:
            return (parse_policy(texts[0], kind, name=prefix),)
        return named(texts, kind, prefix)
    except MalformedPolicy as error:
        raise _invalid(f"{prefix}: {error}") from error


def _owner(params: Mapping[str, Any]) -> str | None:
    owner = params.get("ResourceOwner")
    if owner is None:
        return None
    found = _ACCOUNT.fullmatch(owner)
    if found is None:
        raise _invalid(f"The ResourceOwner {owner} is not an account.")
    return found.group(1)


def parse_context(entries: Sequence[Mapping[str, Any]]) -> dict[str, str | tuple[str, ...]]:
    """Values by key, in lower case as requests have them; a list stays one."""
    keys: dict[str, str | tuple[str, ...]] = {}
    for entry in entries:
        name, kind = entry.get("ContextKeyName"), entry.get("ContextKeyType", "string")
        if name is None:
            raise _invalid("A context entry has no ContextKeyName.")
        values = tuple(entry.get("ContextKeyValues", ()))
        check = _VALUES[kind.removesuffix("List")]
        for value in values:
            if not check(value):
                raise _invalid(f"The value {value} of {name} is not of the type {kind}.")
        if kind.endswith("List"):
            keys[name.lower()] = values
        elif len(values) == 1:
            keys[name.lower()] = values[0]
        else:
            raise _invalid(f"{name} has {len(values)} values; its type {kind} takes one.")
    return keys


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def _is_date(value: str) -> bool:
    if value.isascii() and value.removeprefix("-").isdigit():
        return True
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_VALUES: Mapping[str, Callable[[str], bool]] = {
    "string": lambda _: True,
    "numeric": lambda value: _NUMBER.fullmatch(value) is not None,
    "boolean": lambda value: value.lower() in ("true", "false"),
    "ip": _is_address,
    "binary": lambda value: _BASE64.fullmatch(value) is not None,
    "date": _is_date,
}


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInput", message)
