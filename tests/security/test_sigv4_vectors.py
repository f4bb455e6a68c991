"""The published test vectors of Signature Version 4, by header and by query."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sigv4_requests import Keys, parse_http

from outcrop.identity import AccessKey, Principal
from outcrop.security.authenticate import authenticate
from outcrop.security.canonical import canonical_headers, canonical_resources
from outcrop.security.claim import read_header

VECTORS = Path(__file__).resolve().parents[2] / "../shared/vectors/sigv4"
CASES = sorted(path.name for path in VECTORS.iterdir())


def context(case: str) -> dict[str, Any]:
    return json.loads((VECTORS / case / "context.json").read_text())


def keys(case: str) -> Keys:
    given = context(case)["credentials"]
    key = AccessKey(
        id=given["access_key_id"],
        secret=given["secret_access_key"],
        principal=Principal("123456789012", "a", "arn:aws:iam::123456789012:user/a", "user"),
        session_token=given.get("token"),
    )
    return Keys([key])


def now(case: str) -> datetime:
    return datetime.strptime(context(case)["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def text(case: str, name: str) -> str:
    return (VECTORS / case / name).read_bytes().decode()


def test_all_published_cases_are_here() -> None:
    assert len(CASES) == 38


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["header", "query"])
def test_a_published_request_is_accepted(case: str, form: str) -> None:
    request = parse_http(text(case, f"{form}-signed-request.txt"))
    caller = authenticate(
        request, signing_name="service", accepts_bearer=False, lookup=keys(case), now=now(case)
    )
    assert (caller.proof, caller.region) == (form, "us-east-1")


@pytest.mark.parametrize("case", CASES)
def test_one_reading_equals_the_published_canonical_request(case: str) -> None:
    request = parse_http(text(case, "header-signed-request.txt"))
    claim = read_header(request, request.header("authorization") or "")
    expected = text(case, "header-canonical-request.txt").rstrip(os.linesep)
    payload = expected.rsplit("\n", 1)[1]
    signed = ";".join(claim.signed_headers)
    readings = [
        f"{request.method}\n{path}\n{query}\n"
        f"{canonical_headers(request, claim.signed_headers)}\n{signed}\n{payload}"
        for path, query in canonical_resources(request, encode_twice=True, unsigned=frozenset())
    ]
    assert expected in readings
