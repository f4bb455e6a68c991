"""``outcrop tls``: a local authority, a certificate of it, and what clients need to trust both."""

import re
import shlex
import socket
from typing import Annotated

import typer

from outcrop.cli.options import ConfigOption, DataDirOption, plain_errors, read_config
from outcrop.config import Config
from outcrop.security.authority import TlsFiles, issue, tls_files
from outcrop.stores.directory import DataDirectory
from outcrop.stores.failures import StoreError

app = typer.Typer(no_args_is_help=True)

TRUST_VARIABLES = ("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
"""Of botocore and the AWS CLI, of Node.js, of what follows OpenSSL (Go, Rust, httpx)."""

_HOST_NAME = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}", re.I)


@app.callback()
def tls() -> None:
    """A local authority and a certificate of it."""


@app.command()
def init(
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A further host name or address.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a server certificate by a local authority (made the first time), and say how to use it.

    Run again, it makes a new certificate by the same authority: clients need no new trust."""
    with plain_errors():
        settings = read_config(data_dir, config)
        files = tls_files(settings.data_dir)
        names = _names(settings, name or [])
        DataDirectory(settings.data_dir).prepare()
        try:
            issue(files, names)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The certificate cannot be made in {files.key.parent}: {error}"
            ) from error
        _explain(files, names)


def _names(settings: Config, further: list[str]) -> list[str]:
    """Besides those given: loopback, this machine, and the address of the configuration."""
    names = ["localhost", "*.localhost", "127.0.0.1", "::1", socket.gethostname(), *further]
    # Compared, not listened on.
    if settings.server.host not in ("0.0.0.0", "::"):  # noqa: S104
        names.append(settings.server.host)
    for each in names:
        if not _HOST_NAME.fullmatch(each) and ":" not in each:
            raise StoreError(f"{each!r} is no host name and no address.")
    return list(dict.fromkeys(names))


def _explain(files: TlsFiles, names: list[str]) -> None:
    typer.echo(f"A certificate for {', '.join(names)} is in {files.certificate.parent}.")
    typer.echo("The server uses it with this in its configuration file:")
    typer.echo("")
    typer.echo("[server]")
    typer.echo(f'tls_certificate = "{files.certificate}"')
    typer.echo(f'tls_key = "{files.key}"')
    typer.echo("")
    typer.echo("Clients trust it with these variables (`outcrop env` prints them too):")
    typer.echo("")
    for line in exports(files):
        typer.echo(line)


def exports(files: TlsFiles) -> list[str]:
    return [f"export {name}={shlex.quote(str(files.authority))}" for name in TRUST_VARIABLES]
