"""``outcrop doctor``: what is missing on this machine, and the command that mends it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import typer

from outcrop.cli import doctor_adapters, doctor_records, doctor_training
from outcrop.cli.endpoints import read_endpoints
from outcrop.cli.findings import Finding
from outcrop.cli.options import ConfigOption, DataDirOption, plain_errors, read_config
from outcrop.cli.state import state_of
from outcrop.config import Config, ConfigError
from outcrop.engines.pool import EnginePool
from outcrop.identity import SealedSecretError
from outcrop.objects.program import find_weed
from outcrop.objects.protocol import StoreMissing
from outcrop.quotas.limiter import LimiterUnavailable
from outcrop.quotas.opening import redis_version
from outcrop.server import status
from outcrop.stores.failures import StoreError
from outcrop.stores.model_access import accounts_without

MIN_FREE_BYTES = 2**30
OLDEST_REDIS = 7


def doctor(data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Look for what is missing on this machine and say how to mend it."""
    with plain_errors():
        settings = read_config(data_dir, config)
    findings = [finding for check in CHECKS for finding in check(settings)]
    for finding in findings:
        typer.echo(f"{'!!' if finding.mend else 'ok'}  {finding.what}")
        if finding.mend:
            typer.echo(f"      {finding.mend}")
    if any(finding.mend for finding in findings):
        raise typer.Exit(1)


def _python(_config: Config) -> Iterator[Finding]:
    yield Finding(f"Python {sys.version.split()[0]}")


def _packages(_config: Config) -> Iterator[Finding]:
    """The two native packages: a wheel for another processor fails only when it is imported. In
    processes of their own, as the engines run: one process does not always hold both and ours."""
    for name, purpose in (("xllamacpp", "text models"), ("onnxruntime", "embeddings")):
        # The names are ours, not a user's.
        tried = subprocess.run(  # noqa: S603
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            mend = f"{sys.executable} -m pip install --force-reinstall {name}"
            reason = (tried.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            yield Finding(f"{name} for {purpose} cannot be imported: {reason}", mend)
        else:
            yield Finding(f"{name} for {purpose} works")


def _state(config: Config) -> Iterator[Finding]:
    try:
        account = asyncio.run(_account(config))
    except (StoreError, SealedSecretError) as error:
        yield Finding(f"state in {config.data_dir} cannot be used", str(error))
    else:
        yield Finding(f"state in {config.data_dir}: account {account}")


async def _account(config: Config) -> str:
    async with state_of(config) as state:
        return state.foundation.account


def _access(config: Config) -> Iterator[Finding]:
    if config.access.default == "all":
        yield Finding("access: every account may use every model (access.default)")
        return
    try:
        accounts = asyncio.run(_without_access(config))
    except (StoreError, SealedSecretError):
        # Told of the state as a whole.
        return
    for account in accounts:
        mend = f"outcrop access grant --all --account {account}"
        yield Finding(f"access: account {account} may use no model", mend)
    if not accounts:
        yield Finding("access: every account may use models (outcrop access list)")


async def _without_access(config: Config) -> list[str]:
    async with state_of(config) as state:
        accounts = (item.name for item in state.stores.directory.accounts())
        return accounts_without(state.stores.models, accounts)


def _port(config: Config) -> Iterator[Finding]:
    running = status.find(config.data_dir)
    host, port = config.server.host, config.server.port
    if running is not None:
        yield Finding(f"a server runs here: {running.url} (process {running.pid})")
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            mend = "Stop what uses it, or: outcrop serve --port 0"
            yield Finding(f"{host}:{port} cannot be listened on: {error.strerror}", mend)
        else:
            yield Finding(f"{host}:{port} is free")


def _endpoints(config: Config) -> Iterator[Finding]:
    try:
        endpoints = asyncio.run(read_endpoints(config))
    except (StoreError, SealedSecretError):
        # Told of the state as a whole.
        return
    for each in endpoints:
        if each.record.state == "failed":
            mend = "Stop what uses its port: the server tries again by itself."
            yield Finding(f"private endpoint {each.name}: {each.record.failure}", mend)


def _engines(config: Config) -> Iterator[Finding]:
    pool = EnginePool(
        config.engine_configs(), cache_dir=config.cache_dir, memory_mib=config.engine_memory_mib
    )
    for engine in pool.status():
        yield Finding(f"engine {engine.name}: {engine.kind}, {engine.model}", engine.problem)


def _objects(config: Config) -> Iterator[Finding]:
    if config.services.s3.endpoint is not None:
        yield Finding(f"objects: those of {config.services.s3.endpoint}")
        return
    try:
        program = find_weed()
    except StoreMissing as error:
        # An extra: without it the rest works.
        yield Finding(f"objects: none. {error}")
    else:
        yield Finding(f"objects: {program}")


def _redis(config: Config) -> Iterator[Finding]:
    """Where the configuration names none, there is nothing to look for."""
    if config.quotas.redis_url is None:
        return
    try:
        version = asyncio.run(redis_version(config.quotas.redis_url))
    except ConfigError as error:
        yield Finding("quotas cannot be counted in Redis", str(error))
    except LimiterUnavailable as error:
        mend = "Start it or correct [quotas] redis_url: until it answers, no model is run."
        yield Finding(str(error), mend)
    else:
        yield judge_redis(version)


def judge_redis(version: str) -> Finding:
    major = version.partition(".")[0]
    is_new = major.isdecimal() and int(major) >= OLDEST_REDIS
    mend = "" if is_new else f"Use Redis {OLDEST_REDIS} or later, or Valkey."
    return Finding(f"quotas are counted in Redis {version}", mend)


def _disk(config: Config) -> Iterator[Finding]:
    folder = next(path for path in (config.cache_dir, *config.cache_dir.parents) if path.exists())
    free_bytes = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    gib = free_bytes / 2**30
    mend = "" if free_bytes >= MIN_FREE_BYTES else "Free some space, or set OUTCROP_CACHE."
    yield Finding(f"{gib:.1f} GiB free for model files in {folder}", mend)


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _disk,
    _state,
    _access,
    _port,
    _endpoints,
    _engines,
    _objects,
    _redis,
    *doctor_records.CHECKS,
    *doctor_training.CHECKS,
    *doctor_adapters.CHECKS,
)
