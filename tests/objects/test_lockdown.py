"""Nobody on the machine reaches the store past Outcrop: every port and socket is tried."""

import asyncio
import socket
import ssl

import aiohttp
import h2.config
import h2.connection
import pytest
import pytest_asyncio
from store_requests import arguments, child_of, is_private, listening, option, put, unix_sockets

from outcrop.objects.seaweed import SeaweedStore

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = b"an object nobody else may see"
# Object data by S3, by the filer's path, and the writes and lookups of master, volume and filer.
READS = (
    "/guarded/secret",
    "/buckets/guarded/secret",
    "/dir/lookup?volumeId=1",
    "/dir/assign",
    "/1,01637037d6",
    "/?uid=1",
    "/status",
    "/vol/status",
    "/ui/index.html",
)
RPCS = (
    "/filer_pb.SeaweedFiler/ListEntries",
    "/filer_pb.SeaweedFiler/LookupDirectoryEntry",
    "/master_pb.Seaweed/Assign",
    "/volume_server_pb.VolumeServer/ReadNeedleBlob",
    "/s3_pb.SeaweedS3/Configure",
)


@pytest_asyncio.fixture(loop_scope="session")
async def weed(store: SeaweedStore) -> int:
    await put(store, "/guarded")
    assert (await put(store, "/guarded/secret", SECRET)).status == 200
    assert store.pid is not None
    return child_of(store.pid)


def _untrusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_every_port_listens_on_loopback_and_none_is_fixed(weed: int):
    ports = listening(weed)
    given = {
        int(one.partition("=")[2])
        for one in arguments(weed)
        if ".port" in one and not one.endswith("=0")
    }
    assert ports.keys() == given
    assert set(ports.values()) == {"0100007F"}
    assert not ports.keys() & {8181, 9101, 9333, 8080, 8888, 8333}


async def _http(session: aiohttp.ClientSession, method: str, url: str) -> tuple[int, bytes]:
    try:
        async with session.request(method, url, data=b"mine", allow_redirects=False) as answer:
            return answer.status, await answer.read()
    except (aiohttp.ClientError, OSError):
        return 0, b""


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_port_gives_or_takes_object_data_by_http(weed: int, scheme: str):
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_untrusting()),
        timeout=aiohttp.ClientTimeout(total=10),
    ) as session:
        for port in listening(weed):
            for path in READS:
                for method in ("GET", "PUT", "POST", "DELETE"):
                    url = f"{scheme}://127.0.0.1:{port}{path}"
                    status, body = await _http(session, method, url)
                    # 0 is a connection refused, 404 a page that is not there, 405 a method.
                    refused = status in (0, 400, 401, 403, 404, 405, 501)
                    # Which volumes there are and how full is told to everybody, by any method.
                    assert refused or path == "/status", (url, status)
                    assert SECRET not in body
                    assert b'"fid"' not in body, (url, body)


async def test_no_unix_socket_gives_or_takes_object_data_by_http(weed: int):
    sockets = unix_sockets(weed)
    assert len(sockets) >= 6
    for path in sockets:
        assert is_private(path)
        connector = aiohttp.UnixConnector(path)
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            for method in ("GET", "PUT", "DELETE"):
                for target in READS[:2]:
                    status, body = await _http(session, method, f"http://store{target}")
                    assert status in (0, 400, 401, 403, 404, 405), (path, target, status)
                    assert SECRET not in body


async def test_no_port_or_socket_answers_grpc_without_a_certificate(weed: int):
    for port in listening(weed):
        for rpc in RPCS:
            assert await asyncio.to_thread(_grpc, ("127.0.0.1", port), rpc, tls=False) == b""
            assert await asyncio.to_thread(_grpc, ("127.0.0.1", port), rpc, tls=True) == b""
    for path in unix_sockets(weed):
        for rpc in RPCS:
            assert await asyncio.to_thread(_grpc, path, rpc, tls=False) == b""
            assert await asyncio.to_thread(_grpc, path, rpc, tls=True) == b""


def _grpc(address: tuple[str, int] | str, rpc: str, *, tls: bool) -> bytes:
    """What an HTTP/2 server answers to the call: nothing where it hangs up or speaks no HTTP/2."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", rpc),
        (":authority", "store"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    connection.send_headers(1, headers)
    connection.send_data(1, b"\0\0\0\0\0", end_stream=True)
    with socket.socket(family, socket.SOCK_STREAM) as plain:
        plain.settimeout(5)
        try:
            plain.connect(address)
            channel = _untrusting().wrap_socket(plain) if tls else plain
            with channel:
                channel.sendall(connection.data_to_send())
                answer = channel.recv(65536)
        except OSError:
            return b""
    # HTTP/1.1's refusal of the HTTP/2 preface gives nothing away.
    return b"" if answer.startswith(b"HTTP/1.1 4") else answer


async def test_a_file_of_a_volume_is_not_read_written_or_deleted_without_a_token(weed: int):
    folder = option(weed, "-config_dir")
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    master = option(weed, "-master.port")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with session.get(f"https://127.0.0.1:{master}/dir/assign") as answer:
            assigned = await answer.json(content_type=None)
            token = answer.headers["Authorization"]
        url = f"http://{assigned['url']}/{assigned['fid']}"
        form = aiohttp.FormData({"file": SECRET.decode()})
        async with session.post(url, data=form, headers={"Authorization": token}) as answer:
            assert answer.status == 201
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            status, body = await _http(session, method, url)
            assert status == 401
            assert SECRET not in body
