"""Listings of a bucket: read from the store key by key, folded by delimiter and cut here.

Encoded keys have no delimiters in them, so a group of keys is passed over by asking for what is
behind it.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from outcrop.errors import ServiceError
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.s3.forwarding import coding_of, forward
from outcrop.services.s3.owned import get_bucket, not_implemented, owner

_MOST = 1000
# As many as SeaweedFS tells.
_MOST_UPLOADS = 10_000


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the store is asked: ``marker`` names the key after which it begins, ``within`` what it
    begins with of that key."""

    operation: str
    lists: tuple[str, ...]
    limit: str
    marker: str
    within: str | None = None


_OBJECTS = _Kind("ListObjectsV2", ("Contents",), "MaxKeys", "StartAfter")
_VERSIONS = _Kind(
    "ListObjectVersions",
    ("Versions", "DeleteMarkers"),
    "MaxKeys",
    "KeyMarker",
    "VersionIdMarker",
)
_UPLOADS = _Kind("ListMultipartUploads", ("Uploads",), "MaxUploads", "KeyMarker", "UploadIdMarker")


@dataclass(slots=True)
class _Listed:
    """``last`` is the key or group that was listed last, if there is more; ``within`` the last
    of what has that key."""

    items: dict[str, list[dict[str, Any]]]
    groups: dict[str, None] = field(default_factory=dict[str, None])
    last: str | None = None
    within: str | None = None

    @property
    def count(self) -> int:
        return len(self.groups) + sum(map(len, self.items.values()))


class _Walk:
    """``after`` is a key, or a group of keys that was told already."""

    def __init__(
        self, call: Call, kind: _Kind, params: Mapping[str, Any], after: str, within: str | None
    ) -> None:
        self._call = call
        self._kind = kind
        self._coding = coding_of(call)
        self._bucket = params["Bucket"]
        self._prefix = params.get("Prefix") or ""
        self._delimiter = params.get("Delimiter") or ""
        self._limit = min(params.get(kind.limit, _MOST), _MOST)
        self._told = after if after and self._group(after) == after else None
        self._uploads: list[dict[str, Any]] | None = None
        self._place = self._behind(after) if self._told else self._after(after, within)

    async def read(self) -> _Listed:
        listed = _Listed({name: [] for name in self._kind.lists})
        while listed.count < self._limit:
            page = await self._ask(self._limit - listed.count)
            for name in self._kind.lists:
                for item in page.get(name, ()):
                    self._add(listed, name, item)
            last = self._last(page)
            if last is None:
                listed.last = None
                return listed
            key, within = last
            group = self._group(key)
            place = self._after(key, within) if group is None else self._behind(group)
            # There are keys even behind what should be behind all of a group.
            self._place = place if place != self._place else self._after(key, within)
            listed.last, listed.within = (key, within) if group is None else (group, None)
        if listed.last is not None and not await self._is_more():
            listed.last = None
        return listed

    async def _is_more(self) -> bool:
        page = await self._ask(1)
        return any(page.get(name) for name in self._kind.lists)

    async def _ask(self, most: int) -> dict[str, Any]:
        if self._kind is _UPLOADS and self._call.objects.is_own:
            return await self._ask_for_uploads(most)
        asked = {
            "Bucket": self._bucket,
            "Prefix": self._coding.prefix(self._prefix),
            self._kind.limit: most,
            **self._place,
        }
        return await forward(self._call, asked, operation=self._kind.operation)

    async def _ask_for_uploads(self, most: int) -> dict[str, Any]:
        """SeaweedFS lists uploads in no order, and says of a part of them that it is all."""
        if self._uploads is None:
            asked = {"Bucket": self._bucket, "MaxUploads": _MOST_UPLOADS}
            page = await forward(self._call, asked, operation=self._kind.operation)
            found = page.get("Uploads", [])
            if len(found) >= _MOST_UPLOADS:
                raise not_implemented(f"More than {_MOST_UPLOADS} open uploads are not listed.")
            self._uploads = sorted(found, key=_in_order)
        marker = self._place.get("KeyMarker", "").split("/")
        within = self._place.get("UploadIdMarker")
        after = [
            upload
            for upload in self._uploads
            if self._coding.decoded(upload["Key"]).startswith(self._prefix)
            and (_in_order(upload) > (marker, within) if within else _in_order(upload)[0] > marker)
        ]
        page = {"Uploads": after[:most], "IsTruncated": len(after) > most}
        if after:
            last = after[:most][-1]
            page |= {"NextKeyMarker": last["Key"], "NextUploadIdMarker": last["UploadId"]}
        return page

    def _add(self, listed: _Listed, name: str, item: dict[str, Any]) -> None:
        key = self._coding.decoded(item["Key"])
        group = self._group(key)
        if group is None:
            listed.items[name].append(item | {"Key": key})
        elif group != self._told:
            listed.groups[group] = None

    def _group(self, key: str) -> str | None:
        """The common prefix that stands for the key, if it has the delimiter."""
        if not self._delimiter or not key.startswith(self._prefix):
            return None
        end = key.find(self._delimiter, len(self._prefix))
        return None if end < 0 else key[: end + len(self._delimiter)]

    def _last(self, page: dict[str, Any]) -> tuple[str, str | None] | None:
        """The key at the end of a page that is not the last one."""
        if not page.get("IsTruncated"):
            return None
        if self._kind.within is None:
            items = page.get("Contents", ())
            return (self._coding.decoded(items[-1]["Key"]), None) if items else None
        marker = page.get(f"Next{self._kind.marker}")
        within = page.get(f"Next{self._kind.within}")
        return (self._coding.decoded(marker), within) if marker else None

    def _after(self, key: str, within: str | None) -> dict[str, str]:
        if not key:
            return {}
        place = {self._kind.marker: self._coding.place(key)}
        if self._kind.within is not None and within:
            place[self._kind.within] = within
        return place

    def _behind(self, group: str) -> dict[str, str]:
        return {self._kind.marker: self._coding.behind(group)}


def _in_order(upload: Mapping[str, Any]) -> tuple[list[str], str]:
    return upload["Key"].split("/"), upload["UploadId"]


@operation
async def list_objects(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    marker = params.get("Marker") or ""
    listed = await _Walk(call, _OBJECTS, params, marker, None).read()
    result = _told(params, listed, "MaxKeys", "Prefix", "Delimiter") | {"Marker": marker}
    if listed.last is not None and params.get("Delimiter"):
        result["NextMarker"] = listed.last
    _own(listed.items["Contents"], bucket.record.account)
    return _encoded(params, result)


@operation
async def list_objects_v2(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    token = params.get("ContinuationToken")
    after = params.get("StartAfter") or "" if token is None else _read_token(token)
    listed = await _Walk(call, _OBJECTS, params, after, None).read()
    result = _told(params, listed, "MaxKeys", "Prefix", "Delimiter", "StartAfter")
    result["KeyCount"] = listed.count
    if token is not None:
        result["ContinuationToken"] = token
    if listed.last is not None:
        result["NextContinuationToken"] = _token(listed.last)
    if params.get("FetchOwner"):
        _own(result["Contents"], bucket.record.account)
    else:
        for item in result["Contents"]:
            item.pop("Owner", None)
    return _encoded(params, result)


@operation
async def list_object_versions(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    marker, within = params.get("KeyMarker") or "", params.get("VersionIdMarker")
    if within is not None and not marker:
        raise ServiceError(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            status=400,
            ArgumentName="version-id-marker",
            ArgumentValue=within,
        )
    listed = await _Walk(call, _VERSIONS, params, marker, within).read()
    result = _told(params, listed, "MaxKeys", "Prefix", "Delimiter")
    result |= {"KeyMarker": marker, "VersionIdMarker": within or ""}
    if listed.last is not None:
        result["NextKeyMarker"] = listed.last
        if listed.within is not None:
            result["NextVersionIdMarker"] = listed.within
    for name in _VERSIONS.lists:
        _own(listed.items[name], bucket.record.account)
    return _encoded(params, result)


@operation
async def list_multipart_uploads(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    bucket = await get_bucket(call, params)
    marker, within = params.get("KeyMarker") or "", params.get("UploadIdMarker")
    listed = await _Walk(call, _UPLOADS, params, marker, within).read()
    result = _told(params, listed, "MaxUploads", "Prefix", "Delimiter")
    result |= {"Bucket": bucket.name, "KeyMarker": marker, "UploadIdMarker": within or ""}
    if listed.last is not None:
        result |= {"NextKeyMarker": listed.last, "NextUploadIdMarker": listed.within or ""}
    me = owner(bucket.record.account)
    for upload in result["Uploads"]:
        upload |= {"Owner": me, "Initiator": me}
    return _encoded(params, result)


def _told(params: Mapping[str, Any], listed: _Listed, limit: str, *repeated: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        **listed.items,
        "CommonPrefixes": [{"Prefix": group} for group in listed.groups],
        "IsTruncated": listed.last is not None,
        limit: params.get(limit, _MOST),
        **{name: params[name] for name in repeated if name in params},
    }
    if limit == "MaxKeys":
        result |= {"Name": params["Bucket"], "Prefix": params.get("Prefix", "")}
    return result


def _own(items: list[dict[str, Any]], account: str) -> None:
    for item in items:
        item["Owner"] = owner(account)


_TEXTS = ("Prefix", "Delimiter", "Marker", "NextMarker", "StartAfter", "KeyMarker", "NextKeyMarker")


def _encoded(params: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """As the client asked: XML cannot hold every key."""
    wanted = params.get("EncodingType")
    if wanted is None:
        return result
    if wanted != "url":
        raise ServiceError(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            status=400,
            ArgumentName="encoding-type",
            ArgumentValue=wanted,
        )
    result["EncodingType"] = wanted
    _each(result, _TEXTS, _quoted)
    for name in ("Contents", "Versions", "DeleteMarkers", "Uploads"):
        for item in result.get(name, ()):
            _each(item, ("Key",), _quoted)
    for group in result["CommonPrefixes"]:
        _each(group, ("Prefix",), _quoted)
    return result


def _each(result: dict[str, Any], names: tuple[str, ...], change: Callable[[str], str]) -> None:
    for name in names:
        if name in result:
            result[name] = change(result[name])


def _quoted(text: str) -> str:
    return quote(text, safe="/*-._")


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ServiceError(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            status=400,
            ArgumentName="continuation-token",
        ) from error
