"""``Principal`` and ``NotPrincipal``: whom a statement names, and how closely.

How closely matters: what a policy grants to a session or a user by name is not limited by the
silence of boundaries and session policies; what it grants to an account, the account must pass on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from outcrop.security.policy.request import Subject


class Grant(IntEnum):
    NONE = 0
    # To the account: its own policies decide further.
    ACCOUNT = 1
    # To a role, to everyone or to a service: within boundary and session policy.
    BOUNDED = 2
    # To a user by name: the boundary's silence does not limit it.
    USER = 3
    # To a session by name: nor does that of its session policy.
    SESSION = 4


EVERYONE = "*"
_ROOT = ":root"
_ACCOUNT_DIGITS = 12


def account_of(principal: str) -> str | None:
    """The account that an account principal (its number or its root's ARN) names."""
    if principal.startswith("arn:") and principal.endswith(_ROOT):
        principal = principal.split(":")[4]
    return principal if principal.isdigit() and len(principal) == _ACCOUNT_DIGITS else None


@dataclass(frozen=True, slots=True)
class Principals:
    everyone: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    services: frozenset[str]
    federated: frozenset[str]

    def grant(self, subject: Subject) -> Grant:
        match subject.kind:
            case "anonymous":
                named = Grant.NONE
            case "service":
                named = Grant.BOUNDED if subject.service in self.services else Grant.NONE
            case "root":
                named = Grant.BOUNDED if subject.account in self.accounts else Grant.NONE
            case _:
                named = self._grant_of_identity(subject)
        return max(named, Grant.BOUNDED) if self.everyone else named

    def _grant_of_identity(self, subject: Subject) -> Grant:
        if subject.arn in self.arns:
            return Grant.USER if subject.kind == "user" else Grant.SESSION
        if subject.role_arn in self.arns or subject.arn in self.federated:
            return Grant.BOUNDED
        return Grant.ACCOUNT if subject.account in self.accounts else Grant.NONE

    def excepts(self, subject: Subject) -> bool:
        """As ``NotPrincipal``: account, role and session must each be named to be excepted."""
        match subject.kind:
            case "anonymous":
                return self.everyone
            case "service":
                return self.everyone or subject.service in self.services
            case "root":
                return self.everyone or subject.account in self.accounts
            case _:
                names = {subject.arn, subject.role_arn or subject.arn}
                named = subject.account in self.accounts and names <= self.arns
                return self.everyone or named or subject.arn in self.federated


def compile_principals(named: Mapping[str, tuple[str, ...]]) -> Principals:
    aws = named.get("AWS", ())
    accounts = (account_of(principal) for principal in aws)
    return Principals(
        everyone=EVERYONE in aws,
        accounts=frozenset(account for account in accounts if account),
        arns=frozenset(aws),
        services=frozenset(named.get("Service", ())),
        federated=frozenset(named.get("Federated", ())),
    )
