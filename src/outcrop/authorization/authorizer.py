"""Decides each access of a request over every policy that applies, and remembers its decisions.

A decision depends on the caller's policies, on the action, the resource and the condition keys that
those policies name: it is remembered by exactly these, and forgotten with any change of IAM.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from outcrop.authorization.access import Access, Endpoint, Facts, FindEndpoint, FindFacts
from outcrop.authorization.compiled import Precompiler, compile_policy
from outcrop.authorization.context import TIME_KEYS, Context, Setting
from outcrop.authorization.denials import denial
from outcrop.authorization.explaining import explain_lines
from outcrop.authorization.moments import Moments, find_moments, place_among
from outcrop.identity import Caller, Principal, Session
from outcrop.security.policy.document import Kind, Policy
from outcrop.security.policy.evaluate import Decision, Layers, Request, Subject, decide, explain
from outcrop.stores.iam_names import FULL_ACCESS
from outcrop.stores.opened import Stores
from outcrop.stores.principal_policies import FULL_ACCESS_TEXT, NamedText, PrincipalPolicies

log = logging.getLogger(__name__)

_STANDINGS = 4096
_DECISIONS = 4096

_GONE = Decision(allowed=False, reason="implicit-deny", layer="identity", policy=None)


@dataclass(slots=True)
class Standing:
    """What a caller may, whatever it asks: the layers that do not depend on the resource.
    ``keys`` are the condition keys that they name but for the time, in a fixed order; at
    ``moments`` decisions change with the time, and without these nothing may be remembered."""

    session: Session | None
    subject: Subject
    layers: Layers
    keys: tuple[str, ...]
    tags: Mapping[str, str]
    moments: Moments | None
    decisions: dict[tuple[object, ...], Decision] = field(
        default_factory=dict["tuple[object, ...]", Decision]
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One access with everything that decides it."""

    request: Request
    layers: Layers


class Authorizer:
    """``find_facts`` by the service prefix of an action (``kms``)."""

    def __init__(
        self,
        stores: Stores,
        find_facts: Mapping[str, FindFacts],
        find_endpoint: FindEndpoint,
    ) -> None:
        self._stores = stores
        self._find_facts = find_facts
        self._find_endpoint = find_endpoint
        self._standings: dict[tuple[object, ...], Standing | None] = {}
        self._version = -1
        Precompiler(stores.directory)

    async def authorize(self, setting: Setting, accesses: Sequence[Access]) -> None:
        """Raises AWS's AccessDenied for the first access that is not allowed."""
        for access in accesses:
            decision = await self.decide(setting, access)
            if not decision.allowed:
                await self._tell(setting, access)
                told = _told(access, await self._facts(access), setting.caller)
                raise denial(setting.caller, told, decision)

    async def decide(self, setting: Setting, access: Access) -> Decision:
        decision = await self._decide(setting, access)
        if access.former is None or decision.reason == "explicit-deny":
            return decision
        # What policies say of the action under its earlier name counts as well.
        former = await self._decide(setting, replace(access, action=access.former, former=None))
        if former.reason == "explicit-deny" or not decision.allowed:
            return former if former.reason != "implicit-deny" else decision
        return decision

    async def _decide(self, setting: Setting, access: Access) -> Decision:
        standing = self._standing(setting)
        if standing is None:
            return _GONE
        # Every request comes by here: one coroutine less than by ``_facts``.
        finder = self._find_facts.get(access.action.partition(":")[0])
        facts = await finder(self._stores, access) if finder else None
        if standing.moments is not None and (facts is None or facts.policy is None):
            return _remembered(standing, standing.moments, setting, access, facts)
        question = _question(standing, setting, access, facts)
        return decide(question.request, question.layers)

    async def ask(self, setting: Setting, access: Access) -> Question | None:
        """The whole question, for those who explain the answer; None if the caller is gone."""
        standing = self._standing(setting)
        if standing is None:
            return None
        return _question(standing, setting, access, await self._facts(access))

    def find_endpoint(self, endpoint_id: str | None) -> Endpoint | None:
        return None if endpoint_id is None else self._find_endpoint(endpoint_id)

    async def _facts(self, access: Access) -> Facts | None:
        finder = self._find_facts.get(access.action.partition(":")[0])
        return await finder(self._stores, access) if finder else None

    def _standing(self, setting: Setting) -> Standing | None:
        version = self._stores.directory.version
        if version != self._version or len(self._standings) > _STANDINGS:
            self._standings.clear()
            self._version = version
        caller, endpoint = setting.caller, setting.endpoint
        # The standing keeps the session, so that no other object takes its place in memory.
        key = (caller.key_id, caller.arn, caller.account, id(caller.session), endpoint)
        if key not in self._standings:
            self._standings[key] = self._build(caller, endpoint)
        return self._standings[key]

    def _build(self, caller: Caller, endpoint: Endpoint | None) -> Standing | None:
        directory = self._stores.directory
        if caller.principal.kind == "service":
            # It has no policies of its own: those of resources alone say what it may.
            subject = subject_of(caller.principal)
            return Standing(None, subject, Layers(), keys=(), tags={}, moments=())
        issuer = caller.session.issuer if caller.session else caller.principal
        policies = directory.policies_of(issuer)
        if policies is None:
            return None
        endpoint_policy = endpoint.policy if endpoint else None
        layers = Layers(
            service_control=tuple(
                _compiled(level, "service-control") for level in policies.service_control
            ),
            identity=_compiled(_own_policies(issuer, policies), "identity"),
            boundary=next(iter(_compiled(filter(None, [policies.boundary]), "boundary")), None),
            session=self._session_policies(caller.session) if caller.session else None,
            endpoint=compile_policy(endpoint_policy, "endpoint", endpoint.id)
            if endpoint and endpoint_policy is not None
            else None,
        )
        named = list(_policies(layers))
        keys = frozenset[str]().union(*(policy.keys for policy in named))
        tags = _overlaid(policies.tags, caller.session.tags if caller.session else {})
        return Standing(
            session=caller.session,
            subject=subject_of(caller.principal),
            layers=layers,
            keys=tuple(sorted(keys - TIME_KEYS)),
            tags=tags,
            moments=find_moments(named),
        )

    def _session_policies(self, session: Session) -> tuple[Policy, ...] | None:
        if session.policies is None and session.policy_arns is None:
            return None
        inline = [NamedText("", text) for text in session.policies or ()]
        managed = map(self._stores.directory.managed_policy, session.policy_arns or ())
        return _compiled([*inline, *filter(None, managed)], "session")

    async def _tell(self, setting: Setting, access: Access) -> None:
        """Why, for the server's log: the client gets AWS's sentence, which tells less."""
        question = await self.ask(setting, access)
        why = (
            explain_lines(explain(question.request, question.layers))
            if question
            else ["the user or role is gone"]
        )
        log.warning(
            "denied: %s may not %s on %s: %s",
            setting.caller.arn,
            access.action,
            _in_a_line(access.resource),
            _in_a_line("; ".join(why)),
        )


def _in_a_line(text: str) -> str:
    """What callers name may hold line ends and codes of terminals: a log shows them escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _own_policies(issuer: Principal, policies: PrincipalPolicies) -> tuple[NamedText, ...]:
    """The root user needs none; those whom it federates may what their session policies name."""
    if issuer.kind == "root":
        return (NamedText(FULL_ACCESS, FULL_ACCESS_TEXT),)
    return policies.identity


def _overlaid(own: Mapping[str, str], passed: Mapping[str, str]) -> Mapping[str, str]:
    """The tags of a session count more than those of its user or role, whatever their case."""
    keys = {key.casefold() for key in passed}
    return {**{key: own[key] for key in own if key.casefold() not in keys}, **passed}


def _remembered(
    standing: Standing, moments: Moments, setting: Setting, access: Access, facts: Facts | None
) -> Decision:
    account = None
    if facts is not None:
        access, account = _named(access, facts), facts.account
    context = Context(setting, standing.tags, access, facts)
    keys = context.select(standing.keys)
    place = place_among(moments, setting.now) if moments else None
    asked = (access.action, access.resource, account, place, *map(keys.get, standing.keys))
    decision = standing.decisions.get(asked)
    if decision is None:
        if moments:
            keys |= context.select(TIME_KEYS)
        request = Request(standing.subject, access.action, access.resource, account, keys)
        decision = decide(request, standing.layers)
        if len(standing.decisions) >= _DECISIONS:
            standing.decisions.clear()
        standing.decisions[asked] = decision
    return decision


def _question(
    standing: Standing, setting: Setting, access: Access, facts: Facts | None
) -> Question:
    access = _named(access, facts)
    layers, names = standing.layers, set(standing.keys)
    if standing.moments != ():
        names |= TIME_KEYS
    if facts is not None and facts.policy is not None:
        resource = compile_policy(facts.policy, facts.kind, access.resource)
        layers = replace(layers, resource=resource, resource_decides=facts.decides)
        names |= resource.keys
    keys = Context(setting, standing.tags, access, facts).select(names)
    account = facts.account if facts else None
    return Question(
        Request(standing.subject, access.action, access.resource, account, keys), layers
    )


def _named(access: Access, facts: Facts | None) -> Access:
    """With the resource's own ARN, where the request named it otherwise."""
    if facts is None or facts.resource is None:
        return access
    return replace(access, resource=facts.resource)


def _told(access: Access, facts: Facts | None, caller: Caller) -> Access:
    """What is another account's is told as it was asked for: a refusal does not say what their
    alias stands for, or whether there is one."""
    return (
        access if facts is not None and facts.account != caller.account else _named(access, facts)
    )


def subject_of(principal: Principal) -> Subject:
    return Subject(
        arn=principal.arn,
        account=principal.account,
        kind=principal.kind,
        role_arn=principal.role_arn,
        service=principal.name if principal.kind == "service" else None,
    )


def _compiled(texts: Iterable[NamedText], kind: Kind) -> tuple[Policy, ...]:
    return tuple(compile_policy(each.text, kind, each.name) for each in texts)


def _policies(layers: Layers) -> Iterator[Policy]:
    yield from layers.identity
    yield from layers.session or ()
    for level in layers.service_control:
        yield from level
    for policy in (layers.boundary, layers.endpoint):
        if policy is not None:
            yield policy
