"""The command line: ``outcrop serve`` and what an operator needs beside it."""

import sys

import typer

from outcrop import __version__
from outcrop.cli import doctor, env, keys, models, serve
from outcrop.config import ConfigError
from outcrop.errors import AWSError

app = typer.Typer(
    name="outcrop",
    help="Amazon Bedrock that anyone can run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("wait")(serve.wait)
app.command("env")(env.env)
app.command("doctor")(doctor.doctor)
app.add_typer(keys.app, name="keys", help="Access keys and Bedrock API keys.")
app.add_typer(models.app, name="models", help="Models: what serves them, files, bindings.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Every expected failure is one sentence on stderr and exit code 1."""
    try:
        app()
    except (ConfigError, AWSError) as error:
        typer.echo(f"outcrop: {error}", err=True)
        sys.exit(1)
