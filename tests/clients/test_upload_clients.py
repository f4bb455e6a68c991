"""What real clients of S3 send when they upload, held to their own promises.

The application here knows no buckets: it authenticates, reads what is proven, and says what came.
"""

import asyncio
import hashlib
import io
import os
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import boto3
import botocore.config
import granian.constants
import httpx
import pytest
from certificates import write_certificate
from granian.server.embed import Server as GranianServer
from running_gateways import ACCESS_KEY, ACCOUNT, SECRET_KEY

from outcrop.errors import AWSError
from outcrop.identity import AccessKey, ApiKey, Principal
from outcrop.security.authenticate import authenticate
from outcrop.security.payload import VerifiedBody, proven
from outcrop.server.address import choose_port
from outcrop.server.asgi import Bridge
from outcrop.wire.http import Request, Response

DATA = os.urandom(3 * 1024 * 1024 + 17)


class Keys:
    def find_access_key(self, key_id: str) -> AccessKey | None:
        principal = Principal(ACCOUNT, "a", f"arn:aws:iam::{ACCOUNT}:user/a", "user")
        return AccessKey(ACCESS_KEY, SECRET_KEY, principal) if key_id == ACCESS_KEY else None

    def find_session_key(self, key_id: str, token: str) -> AccessKey | None:
        return None

    def find_api_key(self, key_id: str) -> ApiKey | None:
        return None


class Uploads:
    """``seen`` are the hashes of what was proven, with the kind of proof and the checksums."""

    stream_methods = frozenset({"PUT"})

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.refusals: list[str] = []

    def takes_stream(self, request: Request) -> bool:
        return True

    async def handle(self, request: Request) -> Response:
        try:
            caller = authenticate(
                request,
                signing_name="s3",
                accepts_bearer=False,
                lookup=Keys(),
                now=datetime.now(UTC),
            )
            request = await proven(request, caller.payload, "optional")
            assert isinstance(request.incoming, VerifiedBody)
            digest = hashlib.sha256()
            async for piece in request.incoming.pieces():
                digest.update(piece)
        except AWSError as error:
            self.refusals.append(error.code)
            body = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            return Response(error.status, {"Content-Type": "application/xml"}, body.encode())
        assert caller.payload is not None
        self.seen.append((digest.hexdigest(), caller.payload.kind, request.incoming.checksums))
        return Response(200, {"ETag": '"0"'}, b"")


@asynccontextmanager
async def serving(app: Uploads, folder: Path, *, tls: bool) -> AsyncGenerator[str]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    write_certificate(certificate, key)
    port = choose_port("127.0.0.1", 0)
    server = GranianServer(
        Bridge(app),
        address="127.0.0.1",
        port=port,
        interface=granian.constants.Interfaces.ASGINL,
        http=granian.constants.HTTPModes.auto,
        websockets=False,
        log_enabled=False,
        ssl_cert=certificate if tls else None,
        ssl_key=key if tls else None,
    )
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                break
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
    finally:
        server.stop()
        await asyncio.wait((running,), timeout=5)


def s3(url: str, folder: Path, **settings: Any) -> Any:
    config = cast(Any, botocore.config).Config(
        retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **settings
    )
    return cast(Any, boto3).client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(folder / "certificate.pem") if url.startswith("https") else None,
        config=config,
    )


SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("key", ["k", "a b/ü+%/./..//x", "dir/"])
@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "over TLS"])
@pytest.mark.parametrize("body", [lambda: DATA, lambda: io.BytesIO(DATA)], ids=["bytes", "file"])
async def test_boto3_puts_an_object(
    tls: bool, body: Callable[[], Any], key: str, tmp_path: Path
) -> None:
    app = Uploads()
    async with serving(app, tmp_path, tls=tls) as url:
        client = s3(url, tmp_path)
        await asyncio.to_thread(client.put_object, Bucket="b", Key=key, Body=body())
    (digest, kind, checksums) = app.seen[0]
    assert digest == SHA256
    assert kind == ("unsigned-trailer" if tls else "hash")
    assert list(checksums) == ["crc32"]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
async def test_boto3_promises_the_checksum_that_was_asked_for(
    algorithm: str, tmp_path: Path
) -> None:
    app = Uploads()
    async with serving(app, tmp_path, tls=True) as url:
        client = s3(url, tmp_path)
        await asyncio.to_thread(
            client.put_object, Bucket="b", Key="k", Body=DATA, ChecksumAlgorithm=algorithm
        )
    assert (app.seen[0][0], list(app.seen[0][2])) == (SHA256, [algorithm.lower()])


async def test_boto3_puts_an_empty_object(tmp_path: Path) -> None:
    app = Uploads()
    for tls in (False, True):
        async with serving(app, tmp_path, tls=tls) as url:
            client = s3(url, tmp_path)
            await asyncio.to_thread(client.put_object, Bucket="b", Key="k", Body=b"")
    assert [digest for digest, *_ in app.seen] == [hashlib.sha256(b"").hexdigest()] * 2


async def test_a_wrong_checksum_of_boto3_is_refused(tmp_path: Path) -> None:
    app = Uploads()
    async with serving(app, tmp_path, tls=False) as url:
        client = s3(url, tmp_path)
        with pytest.raises(client.exceptions.ClientError) as caught:
            await asyncio.to_thread(
                client.put_object, Bucket="b", Key="k", Body=DATA, ChecksumCRC32="AAAAAA=="
            )
    error = caught.value.response["Error"]
    assert error["Code"] == "BadDigest"
    assert error["Message"] == "The CRC32 you specified did not match the calculated checksum."
    assert app.seen == []


@pytest.mark.parametrize("version", ["s3", "s3v4"])
async def test_a_presigned_url_puts_what_it_was_made_for(version: str, tmp_path: Path) -> None:
    app = Uploads()
    async with serving(app, tmp_path, tls=False) as url, httpx.AsyncClient() as http:
        client = s3(url, tmp_path, signature_version=version)
        link = client.generate_presigned_url("put_object", {"Bucket": "b", "Key": "a b/ü"})
        assert (await http.put(link, content=DATA)).status_code == 200
        assert (await http.put(link.replace("/a", "/c"), content=DATA)).status_code == 403
        assert (await http.put(f"{link}&versionId=1", content=DATA)).status_code == 403
    assert [(digest, kind) for digest, kind, _ in app.seen] == [(SHA256, "unsigned")]
    assert app.refusals == ["InvalidSignatureException"] * 2


async def run_aws(aws: Path, url: str, folder: Path, *arguments: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [str(aws), "--endpoint-url", url, "--ca-bundle", str(folder / "certificate.pem")]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *arguments], env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "over TLS"])
@pytest.mark.parametrize("transfer", ["classic", "crt"])
async def test_the_aws_cli_copies_a_file(
    tls: bool, transfer: str, tmp_path: Path, aws_v2: Path
) -> None:
    (tmp_path / "config").write_text(
        f"[default]\ns3 =\n  preferred_transfer_client = {transfer}\n"
        "  multipart_threshold = 64MB\n  addressing_style = path\n"
    )
    (tmp_path / "data").write_bytes(DATA)
    app = Uploads()
    async with serving(app, tmp_path, tls=tls) as url:
        await run_aws(aws_v2, url, tmp_path, "s3", "cp", str(tmp_path / "data"), "s3://b/k")
    digest, _, checksums = app.seen[0]
    assert digest == SHA256
    assert len(checksums) == 1


async def test_the_aws_cli_puts_an_object(tmp_path: Path, aws_v2: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    app = Uploads()
    async with serving(app, tmp_path, tls=True) as url:
        for algorithm in ("CRC32C", "CRC64NVME", "SHA256"):
            command = f"s3api put-object --bucket b --key k --checksum-algorithm {algorithm}"
            await run_aws(aws_v2, url, tmp_path, *command.split(), "--body", f"{tmp_path}/data")
    assert [(digest, *checksums) for digest, _, checksums in app.seen] == [
        (SHA256, "crc32c"),
        (SHA256, "crc64nvme"),
        (SHA256, "sha256"),
    ]
