"""SeaweedFS in a child process of ours: one S3 server, with its data under ``objects``.

Every port is on loopback and ephemeral, and asks for what only this start of it knows
(``lockdown``). A crash is followed by another start; nothing acknowledged is lost.
"""

import asyncio
import os
import secrets
import socket
import ssl
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from outcrop.identity import SealedSecretError, Sealer
from outcrop.objects.client import Place, StoreClient
from outcrop.objects.keeping import Keeping, clean_up
from outcrop.objects.lockdown import make_folder, write_secret
from outcrop.objects.program import find_weed
from outcrop.objects.protocol import (
    ObjectsError,
    StoreAnswer,
    StoreNotReady,
    StoreRequest,
)
from outcrop.objects.signing import Credentials
from outcrop.processes.supervisor import (
    Command,
    NotStarted,
    ProcessFailed,
    ProcessNotReady,
    Supervisor,
    send_line,
)

_REGION = "us-east-1"
_PORTS = ("master", "volume", "filer", "s3")
_WAIT_S = 60.0
_READY_S = 50.0
_READY_POLL_S = 0.05
_GRACE_S = 3.0
_END_S = 10.0
_LOCK_WAIT_S = 20.0


@dataclass(slots=True)
class _Start:
    """What is made anew for every start."""

    folder: Path
    credentials: Credentials
    ports: dict[str, int]

    @property
    def place(self) -> Place:
        return Place(f"http://127.0.0.1:{self.ports['s3']}", _REGION, self.credentials)

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        return context

    def keeping(self, data: Path, weed: str) -> Keeping:
        return Keeping(
            command=(weed, *_arguments(self.folder, data, self.ports)),
            # Nothing of ours: it would read credentials, proxies and settings from there.
            environment={"HOME": str(self.folder), "TMPDIR": str(self.folder)},
            folder=str(self.folder),
            lock=str(data / "lock"),
            leftovers=tuple(
                # Where it puts these is fixed in the program.
                f"/tmp/seaweedfs-{name}-grpc-{self.ports[f'{name}.grpc']}.sock"  # noqa: S108
                for name in _PORTS
            ),
            grace_s=_GRACE_S,
            lock_wait_s=_LOCK_WAIT_S,
        )


class _Launch:
    def __init__(self, data: Path, sealer: Sealer) -> None:
        self._data = data
        self._sealer = sealer
        self._last: Keeping | None = None

    async def sweep(self) -> None:
        """A keeper that was killed has not cleaned up; after any other there is nothing left."""
        if self._last is not None:
            await asyncio.to_thread(clean_up, self._last)

    async def prepare(self) -> Command:
        return Command((sys.executable, "-m", "outcrop.objects.keeper"), os.environ)

    async def greet(self, process: asyncio.subprocess.Process) -> Place:
        weed = find_weed()
        start = await asyncio.to_thread(_prepare, self._data, self._sealer)
        await self.sweep()
        self._last = start.keeping(self._data, weed)
        await send_line(process, msgspec.json.encode(self._last))
        answering = asyncio.create_task(_answering(start))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait(
                (answering, ended), timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED
            )
            if answering.done() and not ended.done():
                return start.place
            raise NotStarted("" if ended.done() else f"no answer in {_READY_S:.0f} s")
        finally:
            answering.cancel()
            ended.cancel()


class SeaweedStore:
    """Started by the first request, where ``start`` was not asked before."""

    def __init__(self, data_dir: Path, sealer: Sealer) -> None:
        self._launch = _Launch(data_dir / "objects", sealer)
        self._supervisor = Supervisor("the object store", self._launch, _WAIT_S, end_s=_END_S)
        self._client = StoreClient(self._place, self._supervisor.settle)

    @property
    def failure(self) -> str | None:
        return self._supervisor.failure

    @property
    def pid(self) -> int | None:
        """Of the keeper, whose child SeaweedFS is."""
        return self._supervisor.pid

    @property
    def log_lines(self) -> list[str]:
        return self._supervisor.log_lines

    async def start(self) -> None:
        await self._place()

    async def send(self, request: StoreRequest) -> StoreAnswer:
        return await self._client.send(request)

    async def close(self) -> None:
        await self._client.close()
        await self._supervisor.stop()
        await self._launch.sweep()

    async def _place(self) -> Place:
        find_weed()
        try:
            return await self._supervisor.endpoint()
        except (ProcessNotReady, ProcessFailed) as error:
            raise StoreNotReady(f"{error}.") from error


def _prepare(data: Path, sealer: Sealer) -> _Start:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "volumes").mkdir(mode=0o700, exist_ok=True)
        key = _key_encryption_key(data / "key", sealer)
        folder, credentials = make_folder(data / "filer", key)
    except OSError as error:
        raise ObjectsError(f"{data} cannot be used for objects: {error.strerror}.") from error
    return _Start(folder, credentials, _free_ports())


def _key_encryption_key(file: Path, sealer: Sealer) -> bytes:
    """Of all objects that no KMS key encrypts; sealed by the deployment's master key."""
    context = b"objects:key-encryption-key"
    try:
        return sealer.open(file.read_bytes(), context)
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        write_secret(file, sealer.seal(key, context))
        return key
    except SealedSecretError as error:
        raise ObjectsError(f"{file} cannot be opened: {error}.") from error


def _free_ports() -> dict[str, int]:
    """All held at once, so that they differ. Another program can still take one before the store
    does: then this start fails and the next takes others."""
    names = [name for part in _PORTS for name in (part, f"{part}.grpc")]
    ports: dict[str, int] = {}
    with ExitStack() as held:
        for name in names:
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
    return ports


def _arguments(folder: Path, data: Path, ports: dict[str, int]) -> list[str]:
    settings: dict[str, object] = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": data / "volumes",
        # Forgotten with the start: an old election state would cost ten seconds, and what the
        # master must know it hears from the volumes.
        "master.dir": folder,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        # No limit of their number, which is not their size: nothing is allocated ahead.
        "volume.max": 100_000,
        "volume.id": "outcrop",
        "volume.preStopSeconds": 0,
        "volume.minFreeSpace": "256MiB",
        "filer": "true",
        "filer.localSocket": folder / "filer.sock",
        "filer.exposeDirectoryData": "false",
        "filer.disableDirListing": "true",
        "filer.tusBasePath": "",
        "filer.allowedOrigins": "https://invalid.invalid",
        "s3": "true",
        "s3.config": folder / "s3.json",
        "s3.localSocket": folder / "s3.sock",
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.allowedOrigins": "https://invalid.invalid",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    for name in _PORTS:
        settings[f"{name}.port"] = ports[name]
        settings[f"{name}.port.grpc"] = ports[f"{name}.grpc"]
    flags = [f"-{name}={value}" for name, value in settings.items()]
    return [f"-config_dir={folder}", "-logtostderr=true", "server", *flags]


async def _answering(start: _Start) -> None:
    """Returns once the store lists its buckets for us and knows where its volumes are: for some
    seconds before that it would answer that it has lost what it has."""

    async def here() -> Place:
        return start.place

    client = StoreClient(here)
    context = await asyncio.to_thread(start.tls)
    try:
        while True:
            if await _lists_buckets(client) and await _has_volumes(start.ports["master"], context):
                return
            await asyncio.sleep(_READY_POLL_S)
    finally:
        await client.close()


async def _lists_buckets(client: StoreClient) -> bool:
    try:
        answer = await client.send(StoreRequest("GET", "/"))
        async for _ in answer.body:
            pass
    except ObjectsError:
        return False
    return answer.status == 200


async def _has_volumes(port: int, context: ssl.SSLContext) -> bool:
    """The volume server tells the master all it has in its first words."""
    connector = aiohttp.TCPConnector(ssl=context)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://127.0.0.1:{port}/dir/status") as answer,
        ):
            status = msgspec.json.decode(await answer.read(), type=_MasterStatus)
    except (aiohttp.ClientError, OSError, msgspec.DecodeError):
        return False
    centers = status.Topology.DataCenters or ()
    return any(rack.DataNodes for center in centers for rack in center.Racks or ())


class _Rack(msgspec.Struct):
    DataNodes: list[dict[str, object]] | None = None


class _DataCenter(msgspec.Struct):
    Racks: list[_Rack] | None = None


class _Topology(msgspec.Struct):
    DataCenters: list[_DataCenter] | None = None


class _MasterStatus(msgspec.Struct):
    """What the master tells of its cluster, by its own names."""

    Topology: _Topology = msgspec.field(default_factory=_Topology)
