"""When a grant allows what is asked.

Source: the KMS developer guide on grants. A grantee that may make grants can only make ones that
are no wider than its own; a grant is retired by its retiring principal, or by a grantee that may.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.resources import Item


@dataclass(frozen=True, slots=True)
class GrantUse:
    """What grants are asked to allow. ``grant`` is the ID of one to be retired; ``operations`` and
    ``constraint`` are those of one to be made, whose constraint stands in the place of an
    encryption context; ``source_arn`` is the resource that a service acts for."""

    operation: str
    context: Mapping[str, str]
    grant: str = ""
    operations: Collection[str] = ()
    constraint: str = ""
    source_arn: str | None = None


def granted_principals(
    grants: Iterable[Item[KmsGrant]], callers: Collection[str], use: GrantUse
) -> tuple[str, ...]:
    """By which of their names ``callers`` are allowed."""
    if use.operation == "RetireGrant":
        named = [who for item in grants if item.name == use.grant for who in _retirers(item.record)]
        return tuple(sorted({who for who in named if who in callers}))
    found = {
        item.record.grantee
        for item in grants
        if item.record.grantee in callers
        and use.operation in item.record.operations
        and item.record.source_arn in (None, use.source_arn)
        and (use.operation in _WITHOUT_CONTEXT or _context_fits(item.record, use.context))
        and (use.operation != "CreateGrant" or _is_no_wider(item.record, use))
    }
    return tuple(sorted(found))


_WITHOUT_CONTEXT = frozenset({"DescribeKey", "GetPublicKey"})
"""Operations without an encryption context, which constraints do not narrow."""


def _context_fits(grant: KmsGrant, context: Mapping[str, str]) -> bool:
    if grant.equals is not None:
        return dict(context) == grant.equals
    return grant.subset is None or grant.subset.items() <= context.items()


def _is_no_wider(grant: KmsGrant, use: GrantUse) -> bool:
    exact = grant.equals is None or use.constraint == "EncryptionContextEquals"
    return exact and set(use.operations) <= set(grant.operations)


def _retirers(grant: KmsGrant) -> list[str]:
    principals = [] if grant.retiring is None else [grant.retiring]
    if "RetireGrant" in grant.operations:
        principals.append(grant.grantee)
    return principals
