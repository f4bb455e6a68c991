"""The command line: ``outcrop serve`` and what an operator needs beside it."""

import typer

from outcrop import __version__
from outcrop.cli import bindings, doctor, env, keys, models, serve

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
models.app.command("list")(bindings.list_models)
models.app.command("bind")(bindings.bind)
models.app.command("unbind")(bindings.unbind)
app.add_typer(keys.app, name="keys", help="Access keys and Bedrock API keys.")
app.add_typer(models.app, name="models", help="Models: what serves them, files, bindings.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    app()
