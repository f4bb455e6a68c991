"""docs/operations.md: ``python -m outcrop.services.table`` writes it from the handlers."""

import sys
import textwrap
from collections.abc import Mapping
from typing import Final

from outcrop.services import handlers
from outcrop.services.operation import handled_operations
from outcrop.wire.spec import load_service

_INTRODUCTION: Final = """\
# Operations that answer

This page is generated from the handlers, by `python -m outcrop.services.table >
docs/operations.md`; a test keeps it current. A service has the name that botocore gives it. The
numbers count the operations that have a handler here, and all that botocore knows. Some handlers
only tell what is never there, as AWS tells it of an account or a bucket without it: `Sign` needs an
asymmetric key, a user has no SSH keys, a bucket no CORS rules.

Every other operation of these services is routed, authenticated, parsed, validated and authorized
like them, and then answers `NotImplementedException` (`NotImplemented` in `s3`, `iam` and `sts`,
`UnsupportedOperation` in `ec2`) with its own name.
"""
_WIDTH: Final = 130


def names_by_service() -> Mapping[str, list[str]]:
    """The operations that answer, in the models' spelling and in alphabetical order."""
    modules = handlers.load_all()
    registered = sorted(
        (service, name)
        for service, name in handled_operations()
        if any(hasattr(module, name) for module in modules)
    )
    found: dict[str, list[str]] = {}
    for service, name in registered:
        found.setdefault(service, []).append(name)
    return {service: _spelled(service, names) for service, names in found.items()}


def _spelled(service: str, handler_names: list[str]) -> list[str]:
    operations = load_service(service).operations.values()
    return sorted(each.name for each in operations if each.handler_name in handler_names)


def render() -> str:
    sections = (_section(service, names) for service, names in names_by_service().items())
    return _INTRODUCTION + "".join(sections)


def _section(service: str, names: list[str]) -> str:
    known = len(load_service(service).operations)
    listed = textwrap.fill(", ".join(names), _WIDTH, break_on_hyphens=False)
    return f"\n## `{service}`: {len(names)} of {known}\n\n{listed}.\n"


if __name__ == "__main__":
    sys.stdout.write(render())
