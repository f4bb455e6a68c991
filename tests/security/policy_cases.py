"""Request and policy pairs, generated from a seed, for two evaluators to disagree about.

Each kind of case varies what its name says and keeps the rest simple, so that a verdict depends
on it; values are drawn from small sets, so that they match about as often as not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

import msgspec

from outcrop.security.policy.document import Kind, Policy, parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = Subject(f"arn:aws:iam::{ACCOUNT}:user/ann", ACCOUNT, "user")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/reader"
SESSION = Subject(
    f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/morning", ACCOUNT, "role", role_arn=ROLE_ARN
)
FEDERATED = Subject(f"arn:aws:sts::{ACCOUNT}:federated-user/bob", ACCOUNT, "federated")
ROOT = Subject(f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "root")
SERVICE = Subject("bedrock.amazonaws.com", "", "service", service="bedrock.amazonaws.com")
ANYONE = Subject("*", "", "anonymous")

Values = Mapping[str, str | tuple[str, ...]]
Statement = dict[str, Any]
Document = dict[str, Any]

STRINGS = ["red", "Red", "read", "blue", "a*b", "aXb", "a b"]
NUMBERS = ["1", "1.5", "-3", "10", "10.0", "0"]
DATES = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00Z",
    "2025-12-31T23:59:59Z",
    "2026-06-01T00:00:00Z",
]
EPOCHS = [*DATES, "1767225600"]
BOOLEANS = ["true", "false"]
BINARIES = ["QQ==", "Qg==", "QUJD"]
ADDRESSES = ["203.0.113.7", "203.0.113.200", "198.51.100.1", "2001:db8::7", "2001:db9::1"]
ARNS = [
    "arn:aws:iam::111122223333:role/reader",
    "arn:aws:iam::111122223333:role/writer",
    "arn:aws:iam::444455556666:role/reader",
    "arn:aws:sns:us-east-1:111122223333:topic:x",
    # Another account's, but as text it has the first one where a star may stand before it.
    "arn:aws:sns:us-east-1:444455556666:111122223333:x",
]
STRING_PATTERNS = [
    *STRINGS,
    "r?d",
    "re*d",
    "*",
    "b*",
    "*d",
    "a${*}b",
    "${aws:username}",
    "r${aws:PrincipalTag/team}",
    "${aws:PrincipalTag/team, 'red'}",
]
NETWORKS = [
    "203.0.113.0/24",
    "203.0.113.7",
    "203.0.113.128/25",
    "198.51.100.0/30",
    "2001:db8::/32",
    "2001:db9::1/128",
    "0.0.0.0/0",
]
ARN_PATTERNS = [
    *ARNS,
    "arn:aws:iam::*:role/reader",
    "arn:aws:iam::111122223333:role/*",
    "arn:aws:*:*:111122223333:*",
    "arn:aws:iam::11112222333?:role/rea*r",
]

# Operator: the values of requests, and those of policies.
TYPES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "StringEquals": (STRINGS, STRING_PATTERNS),
    "StringNotEquals": (STRINGS, STRING_PATTERNS),
    "StringEqualsIgnoreCase": (STRINGS, STRING_PATTERNS),
    "StringNotEqualsIgnoreCase": (STRINGS, STRING_PATTERNS),
    "StringLike": (STRINGS, STRING_PATTERNS),
    "StringNotLike": (STRINGS, STRING_PATTERNS),
    "Bool": (BOOLEANS, BOOLEANS),
    "BinaryEquals": (BINARIES, BINARIES),
    "IpAddress": (ADDRESSES, NETWORKS),
    "NotIpAddress": (ADDRESSES, NETWORKS),
    **{f"Arn{name}": (ARNS, ARN_PATTERNS) for name in ("Equals", "NotEquals", "Like", "NotLike")},
}
for _order in (
    "Equals",
    "NotEquals",
    "LessThan",
    "LessThanEquals",
    "GreaterThan",
    "GreaterThanEquals",
):
    TYPES[f"Numeric{_order}"] = (NUMBERS, NUMBERS)
    TYPES[f"Date{_order}"] = (DATES, DATES)
QUALIFIERS = ("", "ForAnyValue:", "ForAllValues:")
FORMS = [*product(QUALIFIERS, TYPES, ("", "IfExists")), ("", "Null", "")]

ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:GetBucketPolicy", "bedrock:InvokeModel"]
ACTION_PATTERNS = [*ACTIONS, "*", "s3:*", "S3:get*", "s3:Get?bject", "s3:*Object", "s3:*e*c*"]
RESOURCES = [
    "arn:aws:s3:::data/ann/a",
    "arn:aws:s3:::data/red/a",
    "arn:aws:s3:::data",
    "arn:aws:s3:::logs/x:y",
    "arn:aws:bedrock:us-east-1::foundation-model/m",
    "arn:aws:bedrock:us-east-1:111122223333:agent/A1",
]
RESOURCE_PATTERNS = [
    *RESOURCES,
    "*",
    "arn:aws:s3:::data/*",
    "arn:aws:s3:::data/${aws:username}/*",
    "arn:aws:s3:::data/${aws:PrincipalTag/team, 'red'}/?",
    "arn:aws:s3:::dat?",
    "arn:aws:s3:::l*/x*y",
    "arn:aws:bedrock:*::foundation-model/m",
    "arn:aws:bedrock:us-*-1:111122223333:agent/*",
    "arn:aws:bedrock:us-east-1:*:agent/A?",
]
KEY_ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"
EVERYTHING: Statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass(frozen=True)
class Case:
    kind: str
    subject: Subject = USER
    action: str = "s3:GetObject"
    resource: str = "arn:aws:s3:::data/red/a"
    owner: str = ACCOUNT
    keys: Values = field(default_factory=dict[str, str])
    identity: Sequence[Document] = ()
    boundary: Document | None = None
    session: Document | None = None
    service_control: Sequence[Sequence[Document]] = ()
    resource_policy: Document | None = None
    endpoint: Document | None = None

    def request(self) -> Request:
        keys = {name.lower(): value for name, value in self.keys.items()}
        return Request(self.subject, self.action, self.resource, self.owner, keys)

    def layers(self) -> Layers:
        """Parsed anew each time: the parser is under test too."""
        deciding: dict[str, Kind] = {"kms": "key", "sts": "trust"}
        kind = deciding.get(self.action.partition(":")[0], "resource")
        session = _find_policy(self.session, "session")
        return Layers(
            service_control=tuple(
                tuple(parse(each, "service-control") for each in level)
                for level in self.service_control
            ),
            identity=tuple(parse(each, "identity") for each in self.identity),
            boundary=_find_policy(self.boundary, "boundary"),
            session=None if session is None else (session,),
            resource=_find_policy(self.resource_policy, kind),
            resource_decides=kind != "resource",
            endpoint=_find_policy(self.endpoint, "endpoint"),
        )

    def documents(self) -> Iterator[Document]:
        yield from self.identity
        for level in self.service_control:
            yield from level
        for one in (self.boundary, self.session, self.resource_policy, self.endpoint):
            if one is not None:
                yield one

    def statements(self) -> Iterator[Statement]:
        for document in self.documents():
            yield from document["Statement"]


def parse(document: Document, kind: Kind) -> Policy:
    return parse_policy(msgspec.json.encode(document).decode(), kind)


def _find_policy(document: Document | None, kind: Kind) -> Policy | None:
    return None if document is None else parse(document, kind)


def document(*statements: Statement) -> Document:
    return {"Version": "2012-10-17", "Statement": [*statements]}


def generate(seed: int, count: int) -> list[Case]:
    """Three cases of seven are about conditions, a third of these in turn over every form."""
    # Not for secrets.
    random = Random(seed)  # noqa: S311
    kinds: list[Callable[[Random, int], Case]] = [
        _condition_in_turn,
        _elements,
        _condition,
        _layers,
        _condition,
        _resource_policy,
        _deciding,
    ]
    return [kinds[index % len(kinds)](random, index // len(kinds)) for index in range(count)]


def _context(random: Random) -> dict[str, str | tuple[str, ...]]:
    keys: dict[str, str | tuple[str, ...]] = {}
    if random.random() < 0.7:
        keys["aws:username"] = random.choice(["ann", "red", "*"])
    if random.random() < 0.5:
        keys["aws:PrincipalTag/team"] = random.choice(["ed", "red", "*"])
    return keys


def _some(random: Random, values: Sequence[str], most: int) -> list[str]:
    return random.sample(values, random.randint(1, min(most, len(values))))


def _guarded(random: Random, guard: Statement) -> Document:
    """Allowed where the guard holds, or everything but where it holds."""
    if random.random() < 0.5:
        return document({**EVERYTHING, **guard})
    return document(EVERYTHING, {**EVERYTHING, **guard, "Effect": "Deny"})


def _condition_in_turn(random: Random, index: int) -> Case:
    return _condition_of(random, *FORMS[index % len(FORMS)])


def _condition(random: Random, _index: int) -> Case:
    return _condition_of(random, *random.choice(FORMS))


def _condition_of(random: Random, qualifier: str, operator: str, suffix: str) -> Case:
    requested, written = TYPES.get(operator, (STRINGS, BOOLEANS))
    if operator.startswith("Date") and random.random() < 0.1:
        requested = written = EPOCHS
    if "IpAddress" in operator and random.random() < 0.9:
        mark = random.choice([".", ".", ":"])
        requested = [each for each in requested if mark in each]
        written = [each for each in written if mark in each and not each.endswith("/0")]
    keys = _context(random)
    if random.random() < 0.8:
        several = tuple(_some(random, requested, 3))
        keys["aws:RequestTag/Key"] = several if qualifier else several[0]
    values: Any = _some(random, written, 3 if operator != "Null" else 1)
    values = values[0] if len(values) == 1 and random.random() < 0.5 else values
    block = {f"{qualifier}{operator}{suffix}": {"aws:RequestTag/Key": values}}
    if random.random() < 0.2:
        block.setdefault("StringLike", {})["aws:username"] = random.choice(["a*", "red", "*"])
    return Case("condition", keys=keys, identity=[_guarded(random, {"Condition": block})])


def _elements(random: Random, _index: int) -> Case:
    guard: Statement = {}
    for element, patterns in (("Action", ACTION_PATTERNS), ("Resource", RESOURCE_PATTERNS)):
        name = f"Not{element}" if random.random() < 0.3 else element
        guard[name] = _some(random, patterns, 3)
    rest = {key: EVERYTHING[key] for key in EVERYTHING if f"Not{key}" not in guard}
    allow, deny = {**rest, **guard}, {**rest, **guard, "Effect": "Deny"}
    policy = document(allow) if random.random() < 0.7 else document(EVERYTHING, deny)
    action, resource = random.choice(ACTIONS), random.choice(RESOURCES)
    return Case(
        "elements", action=action, resource=resource, keys=_context(random), identity=[policy]
    )


def _plain(random: Random, principal: Any = None) -> Document:
    """A policy that allows, denies or is silent about reading an object."""
    action = random.choice(["*", "s3:*", "s3:Get*", "s3:PutObject"])
    effect = "Deny" if random.random() < 0.12 else "Allow"
    statement: Statement = {**EVERYTHING, "Effect": effect, "Action": action}
    return document(statement if principal is None else {**statement, "Principal": principal})


def _layers(random: Random, _index: int) -> Case:
    subject = random.choice([USER, SESSION, FEDERATED, ROOT])
    levels = [[_plain(random) for _ in range(random.randint(1, 2))] for _ in range(2)]
    bounded, limited = random.random() < 0.4, random.random() < 0.4
    return Case(
        "layers",
        subject=subject,
        identity=() if subject is ROOT else [_plain(random) for _ in range(random.randint(0, 3))],
        boundary=_plain(random) if bounded and subject.kind in ("user", "role") else None,
        session=_plain(random) if limited and subject.kind in ("role", "federated") else None,
        service_control=levels if random.random() < 0.4 else (),
        endpoint=_plain(random, "*") if random.random() < 0.3 else None,
    )


def _principal(random: Random) -> Any:
    named = [
        USER.arn,
        ROLE_ARN,
        SESSION.arn,
        FEDERATED.arn,
        ACCOUNT,
        ROOT.arn,
        OTHER,
        f"arn:aws:iam::{OTHER}:user/eve",
    ]
    match random.randrange(6):
        case 0:
            return "*"
        case 1:
            return {"Service": random.choice(["bedrock.amazonaws.com", "s3.amazonaws.com"])}
        case 2:
            return {"AWS": "*"}
        case _:
            return {"AWS": _some(random, named, 3)}


def _resource_policy(random: Random, _index: int) -> Case:
    subject = random.choice([USER, USER, SESSION, SESSION, FEDERATED, ROOT, SERVICE, ANYONE])
    statements: list[Statement] = _plain(random, _principal(random))["Statement"]
    if random.random() < 0.25:
        excepted = random.choice([[subject.arn], [USER.arn, ACCOUNT], [ACCOUNT], [OTHER]])
        if subject.kind not in ("service", "anonymous"):
            deny = {**EVERYTHING, "Effect": "Deny", "NotPrincipal": {"AWS": excepted}}
            statements = [*statements, deny]
    identified = subject.kind in ("user", "role", "federated")
    bounded = identified and random.random() < 0.3
    limited = subject.kind in ("role", "federated") and random.random() < 0.3
    return Case(
        "resource policy",
        subject=subject,
        owner=random.choice([ACCOUNT, OTHER]),
        identity=[_plain(random)] if identified and random.random() < 0.7 else (),
        boundary=_plain(random) if bounded else None,
        session=_plain(random) if limited else None,
        resource_policy=document(*statements),
    )


def _deciding(random: Random, index: int) -> Case:
    """Key policies and trust policies."""
    subject = random.choice([USER, SESSION, SERVICE])
    principal = _principal(random)
    trust = index % 2 == 0
    action = "sts:AssumeRole" if trust else "kms:Decrypt"
    silent = "sts:AssumeRoleWithSAML" if trust else "kms:Encrypt"
    statement: Statement = {
        "Effect": "Deny" if random.random() < 0.1 else "Allow",
        "Principal": principal,
        "Action": action if random.random() < 0.8 else silent,
    }
    if not trust:
        statement["Resource"] = "*"
    chosen = random.choice(["*", action, silent])
    return Case(
        "trust policy" if trust else "key policy",
        subject=subject,
        action=action,
        resource=f"arn:aws:iam::{ACCOUNT}:role/target" if trust else KEY_ARN,
        owner=ACCOUNT,
        identity=[document({**EVERYTHING, "Action": chosen})] if subject is not SERVICE else (),
        resource_policy=document(statement),
    )
