"""The condition keys of a request: what policies can ask about who calls, how, and for what.

Only the keys that a caller's policies name are ever looked up. Names are lower case here; tag keys
in condition keys match without regard to case, as in IAM.
Source: AWS's list of global condition context keys.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from outcrop.authorization.access import Access, Endpoint, Facts
from outcrop.identity import Caller
from outcrop.wire.http import Request

Value = str | tuple[str, ...]

TIME_KEYS = frozenset({"aws:currenttime", "aws:epochtime"})
"""Keys whose value differs at every request: decisions on them are not remembered."""

_PRINCIPAL_TAG = "aws:principaltag/"
_RESOURCE_TAG = "aws:resourcetag/"
_TYPES = {"root": "Account", "user": "User", "role": "AssumedRole", "federated": "FederatedUser"}
"""A service as principal has no type, account or ARN that conditions could ask for."""


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Setting:
    """One request as conditions see it."""

    caller: Caller
    region: str
    request: Request
    now: datetime
    endpoint: Endpoint | None = None


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Context:
    """What condition keys are read from. ``tags`` are the caller's own. What another account owns
    and has no policy on is like what is not there: a denial by its tags would tell of it."""

    setting: Setting
    tags: Mapping[str, str]
    access: Access
    facts: Facts | None

    def select(self, names: Iterable[str]) -> dict[str, Value]:
        """The values of these keys; those that the request does not have are absent."""
        found: dict[str, Value] = {}
        for name in names:
            value = self.find(name)
            if value is not None:
                found[name] = value
        return found

    def find(self, name: str) -> Value | None:
        own = self.access.keys.get(name)
        facts = self.facts
        if facts is not None and facts.policy is None and self._is_strangers(facts):
            facts = None
        if own is None and facts is not None:
            own = facts.keys.get(name)
        if own is not None:
            return own
        if name.startswith(_PRINCIPAL_TAG):
            return _find_tag(self.tags, name.removeprefix(_PRINCIPAL_TAG))
        if facts is not None and name.startswith(_RESOURCE_TAG):
            return _find_tag(facts.tags, name.removeprefix(_RESOURCE_TAG))
        if name == "aws:resourceaccount":
            return self.facts.account if self.facts else None
        reader = _READERS.get(name)
        return reader(self.setting) if reader else None

    def _is_strangers(self, facts: Facts) -> bool:
        return facts.account not in (None, self.setting.caller.account)


def _find_tag(tags: Mapping[str, str], key: str) -> str | None:
    wanted = key.lower()
    return next((value for name, value in tags.items() if name.lower() == wanted), None)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _header(name: str) -> Callable[[Setting], Value | None]:
    return lambda setting: setting.request.header(name)


def _is_service(setting: Setting) -> bool:
    return setting.caller.principal.kind == "service"


def _principal_arn(setting: Setting) -> Value | None:
    if _is_service(setting):
        return None
    return setting.caller.principal.role_arn or setting.caller.arn


def _user_id(setting: Setting) -> Value | None:
    principal = setting.caller.principal
    return principal.account if principal.kind == "root" else principal.id or None


def _user_name(setting: Setting) -> Value | None:
    principal = setting.caller.principal
    return principal.name if principal.kind == "user" else None


def _source_ip(setting: Setting) -> Value | None:
    # A request that came through a VPC endpoint has a private address, which counts apart.
    # What a service does with a role comes from nowhere on the network.
    if setting.endpoint or setting.caller.via:
        return None
    return setting.request.client or None


def _source_owner(setting: Setting) -> Value | None:
    # Of AWS's services only CloudWatch says it to SNS: the default policy of a topic lets its
    # alarms publish, and no rule of EventBridge.
    caller = setting.caller
    is_alarm = _is_service(setting) and caller.principal.name == "cloudwatch.amazonaws.com"
    return caller.account if is_alarm else None


def _source_vpce(setting: Setting) -> Value | None:
    return setting.endpoint.id if setting.endpoint else None


def _source_vpc(setting: Setting) -> Value | None:
    return setting.endpoint.vpc_id if setting.endpoint else None


def _vpc_source_ip(setting: Setting) -> Value | None:
    return setting.request.client if setting.endpoint else None


def _multi_factor(setting: Setting) -> Value | None:
    session = setting.caller.session
    # Long-term keys do not have the key at all (AWS: only temporary credentials carry it).
    return _flag(session.has_mfa) if session and session.service is None else None


def _token_issue_time(setting: Setting) -> Value | None:
    session = setting.caller.session
    return _iso(session.issued_at) if session else None


def _source_identity(setting: Setting) -> Value | None:
    session = setting.caller.session
    return session.source_identity if session else None


def _called_via(setting: Setting) -> Value | None:
    return tuple(_service_of(each) for each in setting.caller.via) or None


def _service_of(host: str) -> str:
    """``s3.us-east-1.amazonaws.com`` acts as ``s3.amazonaws.com``."""
    return f"{host.partition('.')[0]}.amazonaws.com"


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_READERS: Mapping[str, Callable[[Setting], Value | None]] = {
    "aws:calledvia": _called_via,
    "aws:calledviafirst": lambda s: _service_of(s.caller.via[0]) if s.caller.via else None,
    "aws:calledvialast": lambda s: _service_of(s.caller.via[-1]) if s.caller.via else None,
    "aws:currenttime": lambda s: _iso(s.now),
    "aws:epochtime": lambda s: str(int(s.now.timestamp())),
    "aws:multifactorauthpresent": _multi_factor,
    "aws:principalaccount": lambda s: None if _is_service(s) else s.caller.account,
    "aws:principalarn": _principal_arn,
    "aws:principalisawsservice": lambda s: _flag(_is_service(s)),
    "aws:principalservicename": lambda s: s.caller.principal.name if _is_service(s) else None,
    "aws:principaltype": lambda s: _TYPES.get(s.caller.principal.kind),
    "aws:referer": _header("referer"),
    "aws:requestedregion": lambda s: s.region,
    "aws:securetransport": lambda s: _flag(s.request.scheme == "https"),
    "aws:sourceaccount": lambda s: s.caller.account if _is_service(s) else None,
    "aws:sourcearn": lambda s: s.caller.source_arn,
    "aws:sourceidentity": _source_identity,
    "aws:sourceip": _source_ip,
    "aws:sourceowner": _source_owner,
    "aws:sourcevpc": _source_vpc,
    "aws:sourcevpce": _source_vpce,
    "aws:tokenissuetime": _token_issue_time,
    "aws:useragent": _header("user-agent"),
    "aws:userid": _user_id,
    "aws:username": _user_name,
    "aws:viaawsservice": lambda s: _flag(bool(s.caller.via)),
    "aws:vpcsourceip": _vpc_source_ip,
    "kms:viaservice": lambda s: s.caller.via[-1] if s.caller.via else None,
}
