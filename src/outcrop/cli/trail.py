"""``outcrop trail``: whether what trails delivered is all there and unchanged.

It asks a running server as any AWS client would, so that it sees what an auditor sees.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from outcrop.cli.options import (
    AccountOption,
    ConfigOption,
    DataDirOption,
    JsonOption,
    plain_errors,
    print_json,
    read_config,
)
from outcrop.cli.state import state_of
from outcrop.config import Config
from outcrop.identity import AccessKey
from outcrop.security.authority import tls_files
from outcrop.server import status
from outcrop.stores.bootstrap import find_working_key
from outcrop.stores.failures import NoSuchItem, StoreError
from outcrop.stores.trail_records import Trail
from outcrop.trail.states import Chain, read_chain
from outcrop.trail.verifying import Report, Stored, TrailFiles, Verifier, decompressed

app = typer.Typer(no_args_is_help=True)


@app.callback()
def trail() -> None:
    """The audit trail."""


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Option("--trail", help="A trail's name or ARN; all without it.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Such as 2026-03-01 or 2026-03-01T12:00:00Z; all without it.")
    ] = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Check the digests of trails, their signatures, and every log file that they name."""
    with plain_errors():
        since = _read_start(start)
        settings = read_config(data_dir, config)
        clients = _Clients(asyncio.run(_access(settings, account)))
        try:
            trails = {each["TrailARN"]: each for each in clients.trails(name)}
            # After the trails, so that no digest is made of one before it is known.
            chains = asyncio.run(_chains(settings, list(trails)))
            results = {
                arn: _verify(clients, each, chains[arn], since) for arn, each in trails.items()
            }
        except (ClientError, BotoCoreError) as error:
            raise StoreError(f"The server was asked and refused: {error}") from error
        if as_json:
            print_json({arn: _plain(report) for arn, report in results.items()})
        else:
            _print(results)
        if any(report.findings for report in results.values()):
            raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Access:
    url: str
    region: str
    key: AccessKey
    bundle: str | None


async def _access(config: Config, account: str | None) -> _Access:
    async with state_of(config) as state:
        chosen = account or state.foundation.account
        await state.stores.identities.get_account(chosen)
        key = find_working_key(state.stores.directory, chosen, state.presets)
    if key is None:
        raise NoSuchItem(
            f"Account {chosen} has no active access key. `outcrop keys create` makes one."
        )
    running = status.find(config.data_dir)
    if running is None:
        raise StoreError("No server runs on this data directory. Start it: outcrop serve")
    trusted = tls_files(config.data_dir).authority
    bundle = str(trusted) if running.url.startswith("https:") and trusted.exists() else None
    return _Access(running.url, config.server.region, key, bundle)


async def _chains(config: Config, arns: Sequence[str]) -> dict[str, Chain]:
    """From the database, which whoever may write to a bucket cannot change."""
    chains: dict[str, Chain] = {}
    async with state_of(config) as state, state.stores.resources.reading() as view:
        for arn in arns:
            item = await view.find_arn(Trail, arn)
            chains[arn] = Chain() if item is None else await read_chain(view, item)
    return chains


@dataclass(frozen=True, slots=True)
class _Delivered:
    """The bucket, and what is on its way to it."""

    clients: "_Clients"
    chain: Chain

    def read(self, bucket: str, key: str) -> Stored | None:
        return self.clients.read(bucket, key) or self.chain.pending.get((bucket, key))

    def list_keys(self, bucket: str, prefix: str) -> Sequence[str]:
        return self.clients.list_keys(bucket, prefix)


class _Clients:
    """botocore has no types for what its clients do."""

    def __init__(self, access: _Access) -> None:
        self._access = access
        self._s3 = self._client("s3", access.region)

    def trails(self, name: str | None) -> list[dict[str, Any]]:
        cloudtrail = self._client("cloudtrail", self._access.region)
        if name is not None:
            region = name.split(":")[3] if name.startswith("arn:") else self._access.region
            return [self._client("cloudtrail", region).get_trail(Name=name)["Trail"]]
        pages = cloudtrail.get_paginator("list_trails").paginate()
        listed = [each for page in pages for each in page["Trails"]]
        return [
            self._client("cloudtrail", each["HomeRegion"]).get_trail(Name=each["TrailARN"])["Trail"]
            for each in listed
        ]

    def keys(self, region: str, start: datetime, end: datetime) -> dict[str, bytes]:
        cloudtrail = self._client("cloudtrail", region)
        pages = cloudtrail.get_paginator("list_public_keys")
        found = pages.paginate(StartTime=start, EndTime=end)
        return {
            each["Fingerprint"]: each["Value"] for page in found for each in page["PublicKeyList"]
        }

    def read(self, bucket: str, key: str) -> Stored | None:
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            told: Any = error.response
            if told["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return Stored(decompressed(found["Body"].read()), found["Metadata"])

    def list_keys(self, bucket: str, prefix: str) -> Sequence[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def regions(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(prefix).rstrip("/")

    def _client(self, service: str, region: str) -> Any:
        access = self._access
        return cast(Any, Session()).create_client(
            service,
            region_name=region,
            endpoint_url=access.url,
            aws_access_key_id=access.key.id,
            aws_secret_access_key=access.key.secret,
            verify=access.bundle,
        )


def _verify(
    clients: _Clients, trail: Mapping[str, Any], chain: Chain, start: datetime | None
) -> Report:
    now = datetime.now(UTC)
    account, home = trail["TrailARN"].split(":")[4], trail["HomeRegion"]
    prefix = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
    bucket = trail["S3BucketName"]
    digests = f"{prefix}AWSLogs/{account}/CloudTrail-Digest/"
    verifier = Verifier(
        _Delivered(clients, chain),
        clients.keys(home, start or datetime(2013, 11, 1, tzinfo=UTC), now),
    )
    whole = Report()
    for region in sorted({home, *chain.newest, *clients.regions(bucket, digests)}):
        files = TrailFiles(bucket, prefix, account, trail["Name"], home, region)
        report = verifier.verify(files, start, now, chain.newest.get(region))
        whole.digests += report.digests
        whole.files += report.files
        whole.findings += report.findings
    return whole


def _read_start(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise StoreError(f"A start is a date or a time like 2026-03-01, not {text!r}.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _print(results: Mapping[str, Report]) -> None:
    if not results:
        typer.echo("There is no trail.")
    for arn, report in results.items():
        typer.echo(f"{arn}: {report.digests} digests and {report.files} log files are as they were")
        for finding in report.findings:
            typer.echo(f"  {finding.key}: {finding.what}")
        if not report.digests and not report.findings:
            typer.echo(
                "  It has no digests yet: one is made every hour, with log file validation on."
            )


def _plain(report: Report) -> dict[str, Any]:
    return {
        "digests": report.digests,
        "log_files": report.files,
        "findings": [{"key": each.key, "what": each.what} for each in report.findings],
    }
