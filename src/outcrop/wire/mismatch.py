"""How the wire refuses what a handler gives: drift from the models must not reach a client."""

from outcrop.wire.shapes import Member


class ResultMismatch(Exception):
    """A handler gave something that its operation's output does not have."""


def mismatch(member: Member, value: object) -> ResultMismatch:
    kind = type(value).__name__
    return ResultMismatch(f"{member.name!r} is {kind}; {member.shape.type} is declared")
