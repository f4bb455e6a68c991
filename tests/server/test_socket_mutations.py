"""Broken requests over real sockets: well-framed ones in thousands, and ones that are no HTTP."""

import http.client
import random
import socket
from collections import Counter
from urllib.parse import urlsplit

import pytest
from mutants import Mutants
from running_gateways import Gateway
from signed_http import Ask, Signer, send

COUNT = 3_000
TIMEOUT_S = 10
LIST = Ask("GET", "/foundation-models")
START = b"POST /model/anthropic.claude-v2/invoke HTTP/1.1\r\nhost: x\r\n"
MALFORMED = {
    "nothing": b"",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no version": b"GET /\r\n\r\n",
    "wrong version": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: x\n\n",
    "header without colon": b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
    "header with NUL": b"GET / HTTP/1.1\r\nhost: x\r\na: \x00\r\n\r\n",
    "huge header": b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    "huge target": b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "target of bytes": b"GET /\xff\xfe\x80 HTTP/1.1\r\nhost: x\r\n\r\n",
    "absolute target": b"GET http://other/foundation-models HTTP/1.1\r\nhost: x\r\n\r\n",
    "connect": b"CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n",
    "two lengths": START + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "negative length": START + b"content-length: -1\r\n\r\n",
    "length of letters": START + b"content-length: two\r\n\r\n{}",
    "length and chunks": START
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": START + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "huge chunk size": START + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    "unknown coding": START + b"transfer-encoding: gzip\r\n\r\n{}",
    "half a body": START + b"content-length: 1000\r\n\r\n{",
    "upgrade": b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "HTTP/2 preface and junk": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    "HTTP/2 preface and half a frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x40\x00\x01",
    "no host": b"GET /foundation-models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /foundation-models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
}


def exchange(gateway: Gateway, data: bytes) -> bytes:
    """What comes back before the server closes, after our side has nothing more to say."""
    place = urlsplit(gateway.url)
    with socket.create_connection((place.hostname, place.port or 0), TIMEOUT_S) as connection:
        received = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            # The server may close on what it will not read to the end.
            return received
        return received


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_gets_no_more_than_a_refusal(scripted_gateway: Gateway, name: str) -> None:
    received = exchange(scripted_gateway, MALFORMED[name])
    assert b"Traceback" not in received
    assert not received.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))
    assert send(scripted_gateway.url, LIST).status == 200


def test_random_bytes_harm_nobody(scripted_gateway: Gateway) -> None:
    # Repeatable on purpose; nothing secret comes of it.
    dice = random.Random(20261122)  # noqa: S311
    valid = START + b"content-length: 2\r\n\r\n{}"
    for _ in range(300):
        data = bytearray(valid)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        received = exchange(scripted_gateway, bytes(data))
        assert not received.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), bytes(data)
    assert send(scripted_gateway.url, LIST).status == 200


def test_thousands_of_broken_requests_over_one_connection(scripted_gateway: Gateway) -> None:
    netloc = urlsplit(scripted_gateway.url).netloc
    connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT_S)
    mutants, signer = Mutants(7), Signer()
    statuses = Counter[int]()
    for _ in range(COUNT):
        ask = mutants.make()
        if not is_sendable(ask):
            continue
        headers = signer.headers(ask, netloc)
        target = f"{ask.path}?{ask.query}" if ask.query else ask.path
        connection.putrequest(ask.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(ask.body)))
        connection.endheaders(ask.body)
        response = connection.getresponse()
        body = response.read()
        statuses[response.status] += 1
        assert response.status not in (500, 502, 503), ask
        assert b"Traceback" not in body
    connection.close()
    assert statuses.total() > 0.8 * COUNT
    assert statuses[200] > 0.1 * COUNT
    assert send(scripted_gateway.url, LIST).status == 200


def is_sendable(ask: Ask) -> bool:
    """Of the mutants those whose framing a client can keep: others are sent as raw bytes above."""
    names = {name for name, _ in ask.headers}
    return ask.path.isascii() and not names & {"transfer-encoding", "expect"}
