"""Listings as S3 cuts and folds them, against a model of it in a few lines."""

from typing import Any

import pytest
from buckets_under_test import new_bucket

KEYS = sorted(
    [
        *(
            "a",
            "a!",
            "a/",
            "a/1",
            "a/2",
            "a/b/1",
            "a/b/2",
            "a0",
            "ab",
            "b//1",
            "b/1",
            "b.1",
            "c d/e",
        ),
        *(f"many/{n:02}" for n in range(12)),
        *(f"long/{'x' * 240}/{n}" for n in range(5)),
        *("long/" + "x" * 240, "é/1", "é/2", "\U0001f600/1", "z/"),
    ],
    key=str.encode,
)


def _expected(prefix: str, delimiter: str, after: str) -> list[str]:
    """Keys and groups in their order."""
    found: list[str] = []
    for key in KEYS:
        rest = key.removeprefix(prefix) if key.startswith(prefix) else None
        if rest is None or key.encode() <= after.encode():
            continue
        end = rest.find(delimiter) if delimiter else -1
        one = key if end < 0 else prefix + rest[: end + len(delimiter)]
        if one != after and one not in found:
            found.append(one)
    return found


def _merged(page: Any, lists: tuple[str, ...] = ("Contents",)) -> list[str]:
    found = [one["Key"] for name in lists for one in page.get(name, ())]
    found += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    return sorted(found, key=str.encode)


@pytest.fixture(scope="module")
def bucket(s3: Any) -> str:
    name = new_bucket(s3)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=b"")
    return name


@pytest.mark.parametrize("delimiter", ["", "/", "b", "x/"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b/", "long/", "long/xx", "é", "none"])
def test_pages_of_any_size_hold_the_same(s3: Any, bucket: str, prefix: str, delimiter: str):
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter}
    expected = _expected(prefix, delimiter, "")
    assert _merged(s3.list_objects_v2(**asked)) == expected
    for size in (1, 3):
        for name in ("list_objects", "list_objects_v2"):
            pages = s3.get_paginator(name).paginate(**asked, PaginationConfig={"PageSize": size})
            parts = [_merged(page) for page in pages]
            assert [one for part in parts for one in part] == expected
            assert all(len(part) == size for part in parts[:-1])


@pytest.mark.parametrize(
    "after", ["a", "a/", "a/1", "a/zzz", "long/" + "x" * 230, "m", "zz", "é/1"]
)
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_listing_begins_after_any_key(s3: Any, bucket: str, after: str, delimiter: str):
    page = s3.list_objects_v2(Bucket=bucket, StartAfter=after, Delimiter=delimiter)
    assert _merged(page) == _expected("", delimiter, after)


def test_a_listing_tells_what_it_was_asked_for(s3: Any, bucket: str):
    page = s3.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/", MaxKeys=2, StartAfter="a/")
    assert (page["Name"], page["Prefix"], page["Delimiter"]) == (bucket, "a/", "/")
    assert (page["MaxKeys"], page["KeyCount"], page["IsTruncated"]) == (2, 2, True)
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False


def test_versions_and_uploads_are_paged_and_folded_too(s3: Any):
    bucket = new_bucket(s3)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = ["a", "b/1", "b/2", "c c", "d.e"]
    for key in keys * 2:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="a")
    for size in (1, 2, 100):
        pages = s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": size}
        )
        found = [
            one["Key"]
            for page in pages
            for name in ("Versions", "DeleteMarkers")
            for one in page.get(name, ())
        ]
        assert sorted(found) == sorted([*keys, *keys, "a"])
    folded = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["b/"]

    for key in keys:
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    for size in (1, 2, 100):
        pages = s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": size}
        )
        assert [one["Key"] for page in pages for one in page.get("Uploads", ())] == keys
    folded = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", Prefix="b")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["b/"]
