"""Where the gateway listens, and the URL by which clients on its machine reach it."""

import asyncio
import socket
from ipaddress import ip_address

from outcrop.config import Server
from outcrop.stores.failures import StoreError


class CannotListen(StoreError):
    pass


def endpoint_url(server: Server, port: int) -> str:
    """A wildcard address is for listening; clients on this machine reach it by loopback."""
    scheme = "https" if server.tls_certificate else "http"
    host = reachable(server.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def reachable(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


async def resolve(host: str) -> str:
    """The address of ``host``, which may be a name; of several the first."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise CannotListen(
            f"The host {host!r} is not known here. Set an address of this machine with --host "
            "or server.host."
        ) from error
    return str(found[0][4][0])


def check_plain_http(server: Server, address: str, setting: str = "server.host") -> None:
    """Secrets and prompts in clear leave the machine only where somebody said so. ``setting`` is
    where the address is from."""
    if server.tls_certificate or server.plain_http or ip_address(address).is_loopback:
        return
    raise CannotListen(
        f"{address} ({setting}) is not loopback, and without TLS everything sent there can be read "
        "on the way. Make a certificate with `outcrop tls init` and set server.tls_certificate and "
        "server.tls_key, or allow plain HTTP with server.plain_http = true (OUTCROP_PLAIN_HTTP=1)."
    )


def choose_port(address: str, wanted: int) -> int:
    """``wanted``, or a free one for 0. Another listener on the port is an error here, before
    granian shares it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, wanted))
        except OSError as error:
            raise CannotListen(
                f"{address}:{wanted} cannot be listened on ({error.strerror}). "
                "Stop what uses it, or choose another with --port or --host."
            ) from error
        return int(probe.getsockname()[1])
