"""Made-up calls of every operation that answers: right types, hostile and plausible values, and the
names and ARNs that earlier answers gave, so that calls meet what is really there."""

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from botocore.loaders import Loader
from botocore.model import ServiceModel
from running_gateways import ACCESS_KEY, ACCOUNT
from statements import allow, document

from outcrop.services import handlers
from outcrop.services.operation import handled_operations
from outcrop.wire.spec import load_service

_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_MODEL = "amazon.titan-text-express-v1"
_TRUST = document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
_WORDS = (
    *("", "a", "ann", "*", "x" * 300, "ü€\U0001f600", "\x00", "a b", "../..", "${aws:username}"),
    *("0", "-1", "true", "{}", "[]", "/", "v1", "alias/aws/s3", _KEY, "10.0.0.0/33", "us-east-1a"),
)
_PLAUSIBLE: Mapping[str, tuple[str, ...]] = {
    "aliasname": ("alias/x",),
    "assumerolepolicydocument": (_TRUST,),
    "bucket": ("bucket-one", "bucket-two"),
    "body": (json.dumps({"inputText": "one"}),),
    "cidrblock": ("10.0.0.0/16", "10.0.1.0/24"),
    "copyfrom": (f"arn:aws:bedrock:us-east-1::foundation-model/{_MODEL}",),
    "granteeprincipal": (f"arn:aws:iam::{ACCOUNT}:user/ann",),
    "groupname": ("g",),
    "inferenceprofilename": ("p1", "p2"),
    "key": ("k", "a/b", "team"),
    "issuetype": ("customer-service",),
    "keyid": ("alias/x",),
    "language": ("ja",),
    "modelid": (_MODEL, "amazon.titan-embed-text-v1"),
    "modelidentifier": (_MODEL,),
    "name": ("n1", "alias/x"),
    "path": ("/", "/p/"),
    "policyarn": (f"arn:aws:iam::{ACCOUNT}:policy/p",),
    "policydocument": (document(allow("s3:GetObject")),),
    "policyname": ("p",),
    "rolearn": (f"arn:aws:iam::{ACCOUNT}:role/r",),
    "rolename": ("r",),
    "rolesessionname": ("s1",),
    "secretid": ("n1",),
    "servicecode": ("account-activation", "bedrock"),
    "servicename": ("com.amazonaws.us-east-1.bedrock-runtime", "com.amazonaws.us-east-1.s3"),
    "username": ("ann", "bob"),
}
_NUMBERS = (0, 1, -1, 7, 30, 900, 3600, 65_535, 2**31 - 1, -(2**31))
_BLOBS = (b"", b"abc", bytes(range(80)), b"\x01" * 300)
_TIMES = tuple(datetime(year, 1, 1, tzinfo=UTC) for year in (1971, 2026, 9990))
_DEEPEST = 5

# Their bodies arrive as streams, which a call in this process has not.
_STREAMED = ("PutObject", "UploadPart")
# They may end the caller's own key; with a name they are called like the others.
_OF_THE_CALLER = ("CreateAccessKey", "DeleteAccessKey", "UpdateAccessKey", "DeleteUser")


class Calls:
    """Calls of one service, the same for the same seed and answers."""

    def __init__(self, service: str, seed: int) -> None:
        # The same calls every time; nothing secret comes of it.
        self._dice = random.Random(seed)  # noqa: S311
        self._share = 0.0
        self._known: defaultdict[str, list[str]] = defaultdict(list)
        for name, values in _PLAUSIBLE.items():
            self._known[name] += values
        loader = cast(Any, Loader())
        self._model = cast(Any, ServiceModel(loader.load_service_model(service, "service-2")))
        handlers.load(service)
        self._operations = sorted(
            operation.name
            for operation in load_service(service).operations.values()
            # Clients have not those that the documents alone name.
            if operation.name in self._model.operation_names
            and (service, operation.handler_name) in handled_operations()
            and operation.name not in _STREAMED
        )

    def next(self) -> tuple[str, dict[str, Any]]:
        operation = self._dice.choice(self._operations)
        # Of what a call need not say, some say nothing and some nearly half.
        self._share = self._dice.choice((0.0, 0.15, 0.45))
        shape = self._model.operation_model(operation).input_shape
        params = self._structure(shape, 0) if shape else {}
        if operation in _OF_THE_CALLER and "UserName" not in params:
            params["UserName"] = "ann"
        return operation, params

    def learn(self, answer: Any, name: str = "") -> None:
        if isinstance(answer, dict):
            for key, value in cast("dict[str, Any]", answer).items():
                if key != "ResponseMetadata":
                    self.learn(value, key)
        elif isinstance(answer, list):
            for value in cast("list[Any]", answer)[:5]:
                self.learn(value, name.removesuffix("s"))
        elif isinstance(answer, str) and len(answer) < 400 and not _is_callers(answer):
            self._known[name.lower()].append(answer)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        return {
            name: self._value(member, depth + 1, name)
            for name, member in shape.members.items()
            if name in shape.required_members
            or (depth < _DEEPEST and self._dice.random() < self._share)
        }

    def _value(self, shape: Any, depth: int, name: str = "") -> Any:
        dice = self._dice
        match shape.type_name:
            case "structure":
                return self._structure(shape, depth)
            case "list":
                inner = name.removesuffix("s")
                return [self._value(shape.member, depth + 1, inner) for _ in self._count(depth)]
            case "map":
                key, value = shape.key, shape.value
                return {
                    self._text(key, name): self._value(value, depth + 1) for _ in self._count(depth)
                }
            case "string":
                return self._text(shape, name)
            case "blob":
                known = self._known.get(name.lower())
                return dice.choice(known).encode() if known else dice.choice(_BLOBS)
            case "boolean":
                return dice.random() < 0.5
            case "timestamp":
                return dice.choice(_TIMES)
            case _:
                return dice.choice(_NUMBERS)

    def _count(self, depth: int) -> range:
        return range(self._dice.choice((0, 1, 1, 2, 3)) if depth < _DEEPEST else 0)

    def _text(self, shape: Any, name: str) -> str:
        chance = self._dice.random()
        if shape.enum and chance < 0.85:
            return self._dice.choice(shape.enum)
        known = self._known.get(name.lower().removeprefix("target").removeprefix("source"))
        if known and chance < 0.75:
            return self._dice.choice(known[-8:])
        return self._dice.choice(_WORDS)


def _is_callers(text: str) -> bool:
    """What the caller itself is, and would end with."""
    return "admin" in text.lower() or text == ACCESS_KEY
