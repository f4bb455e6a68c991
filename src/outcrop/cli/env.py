"""``outcrop env``: the exports that point AWS clients here, for ``eval "$(outcrop env)"``."""

import asyncio
import shlex
from typing import Annotated

import typer

from outcrop.cli.options import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    plain_errors,
    read_config,
)
from outcrop.cli.state import state_of
from outcrop.cli.tls import TRUST_VARIABLES
from outcrop.config import Config
from outcrop.security.authority import tls_files
from outcrop.server import status
from outcrop.server.address import endpoint_url
from outcrop.stores.bootstrap import find_working_key
from outcrop.stores.failures import NoSuchItem

# Left over from another account, each would be taken before or together with the key below.
_IN_THE_WAY = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ENDPOINT_URL_BEDROCK",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_BEDROCK_AGENT",
    "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_HEALTH",
)


def env(
    account: AccountOption = None,
    user: Annotated[str | None, typer.Option(help="Whose key; the best one without it.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the environment variables that point AWS clients at this Outcrop."""
    with plain_errors():
        variables = asyncio.run(client_variables(read_config(data_dir, config), account, user))
        typer.echo(f"unset {' '.join(_IN_THE_WAY)}")
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")


async def client_variables(config: Config, account: str | None, user: str | None) -> dict[str, str]:
    """What points a client at this Outcrop, as somebody of the account."""
    async with state_of(config) as state:
        chosen = account or state.foundation.account
        await state.stores.identities.get_account(chosen)
        key = find_working_key(state.stores.directory, chosen, state.presets, user=user)
    if key is None:
        owner = f"Account {chosen}" if user is None else f"The user {user!r} of account {chosen}"
        raise NoSuchItem(f"{owner} has no active access key. `outcrop keys create` makes one.")
    running = status.find(config.data_dir)
    # Without a server the configuration says where it will listen.
    url = running.url if running else endpoint_url(config.server, config.server.port)
    trusted = tls_files(config.data_dir).authority
    bundle = (
        {}
        if not url.startswith("https:") or not trusted.exists()
        else {name: str(trusted) for name in TRUST_VARIABLES}
    )
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": config.server.region,
        "AWS_DEFAULT_REGION": config.server.region,
        "ANTHROPIC_BEDROCK_BASE_URL": url,
        "AWS_BEDROCK_RUNTIME_ENDPOINT": url,
        **bundle,
    }
