"""The command line: ``outcrop serve`` and what an operator needs beside it.

A command's module is imported when the command is run: ``outcrop env`` starts without the server.
"""

import gc
import importlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer

from outcrop import __version__

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("outcrop.cli.serve", "serve"),
    "wait": ("outcrop.cli.wait", "wait"),
    "env": ("outcrop.cli.env", "env"),
    "doctor": ("outcrop.cli.doctor", "doctor"),
    "access": ("outcrop.cli.access", "app"),
    "accounts": ("outcrop.cli.accounts", "app"),
    "capacity": ("outcrop.cli.capacity", "app"),
    "endpoints": ("outcrop.cli.endpoints", "app"),
    "jobs": ("outcrop.cli.jobs", "app"),
    "keys": ("outcrop.cli.keys", "app"),
    "logs": ("outcrop.cli.logs", "app"),
    "models": ("outcrop.cli.models", "app"),
    "policy": ("outcrop.cli.policies", "app"),
    "quotas": ("outcrop.cli.quotas", "app"),
    "billing": ("outcrop.cli.billing", "billing"),
    "health": ("outcrop.cli.health", "health"),
    "support": ("outcrop.cli.support", "app"),
    "tls": ("outcrop.cli.tls", "app"),
    "trail": ("outcrop.cli.trail", "app"),
}
_GROUPS: Final = {
    "access": "Which models accounts may use.",
    "accounts": "Accounts, and the service control policies that bound them.",
    "capacity": "What can be reserved, what was bought, and its commitments.",
    "endpoints": "Private endpoints: where they are reached.",
    "jobs": "Customization jobs, and how far they are.",
    "keys": "Access keys and Bedrock API keys.",
    "logs": "What requests came, and what became of them.",
    "models": "Models: what serves them, files, bindings.",
    "policy": "What somebody may and why; whether a policy is one.",
    "quotas": "Quotas of accounts, and requests for more.",
    "support": "Support cases and plans of accounts.",
    "tls": "A local authority and a certificate of it.",
    "trail": "Whether what the audit trail delivered is all there.",
}


def build(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="outcrop",
        help="Amazon Bedrock that anyone can run.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for name in names:
        module, attribute = COMMANDS[name]
        command: Any = getattr(importlib.import_module(module), attribute)
        if name in _GROUPS:
            app.add_typer(command, name=name, help=_GROUPS[name])
        else:
            app.command(name)(command)
    app.command("version")(_version)
    return app


def _version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked == "version":
        _version()
        return
    # Imports make hardly any garbage: looking for it, then and later, takes a tenth of a start.
    gc.disable()
    # What is not a command's name (help, completion, a typing error) needs all of them.
    app = build([asked] if asked in COMMANDS else COMMANDS)
    gc.freeze()
    gc.enable()
    app(prog_name="outcrop")
