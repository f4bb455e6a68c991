"""Items as rows of the table ``resources``, and back; those of sealed kinds tell nothing.

Where a plain row has a name, a sealed one has a keyed digest of it: whoever knows the name finds
the row, and whoever has the file alone can neither read names nor try any. The names themselves lie
in the sealed body, which opens in its own row only.
"""

import hmac
from typing import Any, Final, cast

import msgspec
import sqlalchemy as sa

from outcrop.identity import KeySource, SealedSecretError
from outcrop.stores.failures import DamagedRecord
from outcrop.stores.records import Item, Place, R, Record
from outcrop.stores.tables import from_ms, resources

_PURPOSE: Final = b"names of sealed resources 1"
SEALED_PREFIX: Final = "sealed:"
"""Of the digests that stand for names, so that whoever looks at the table knows what they are."""
_NO_TAGS: Final = b"{}"
_JSON: Final = b"{"


class _Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    parent: str
    arn: str | None
    tags: dict[str, str]
    record: msgspec.Raw


class NoKey(Exception):
    """Records of a sealed kind are asked for where nobody gave the key to them."""


class Rows:
    """``keys`` is what seals; without it there are plain kinds only."""

    def __init__(self, keys: KeySource | None) -> None:
        self._keys = keys
        self._naming = keys.derive(_PURPOSE) if keys else b""

    def at(self, type: type[Record], place: Place) -> sa.ColumnElement[bool]:
        return sa.and_(
            resources.c.kind == type.KIND,
            resources.c.account == place.account,
            resources.c.region == place.region,
            resources.c.name == self._name(type, place),
        )

    def arn(self, type: type[Record], arn: str) -> str:
        """As the column has it."""
        return self._digest(type, "arn", arn) if type.SEALED else arn

    def parent(self, type: type[Record], parent: str) -> str:
        """As the column has it."""
        return self._digest(type, "parent", parent) if type.SEALED and parent else parent

    def row(self, item: Item[Any], now: int) -> dict[str, Any]:
        return {
            "kind": item.record.KIND,
            "account": item.place.account,
            "region": item.place.region,
            "created_at_ms": now,
            **self.named(item, now),
        }

    def named(self, item: Item[Any], now: int) -> dict[str, Any]:
        """Whatever may change of a row, where its name does."""
        kind = cast("type[Record]", type(item.record))
        return {"name": self._name(kind, item.place), **self.content(item, now)}

    def content(self, item: Item[Any], now: int) -> dict[str, Any]:
        """Whatever may change of a row that keeps its name."""
        kind = cast("type[Record]", type(item.record))
        return {
            "parent": self.parent(kind, item.parent),
            "arn": None if item.arn is None else self.arn(kind, item.arn),
            "tags": _NO_TAGS if kind.SEALED else msgspec.json.encode(item.tags),
            "body": self._seal(kind, item) if kind.SEALED else msgspec.json.encode(item.record),
            "changed_at_ms": now,
        }

    def item(self, type: type[R], row: Any) -> Item[R]:
        """Raises ``DamagedRecord``."""
        try:
            content = self._content(type, row)
            record = msgspec.json.decode(content.record, type=type)
        except (SealedSecretError, ValueError) as error:
            region = f" in {row['region']}" if row["region"] else ""
            raise DamagedRecord(
                f"The {type.KIND} {row['name']!r} of account {row['account']}{region} cannot be "
                f"read: it is damaged, or was written by somebody else. {error}"
            ) from error
        return Item(
            record,
            Place(row["account"], row["region"], content.name),
            content.parent,
            content.arn,
            content.tags,
            from_ms(row["created_at_ms"]),
            from_ms(row["changed_at_ms"]),
        )

    def _content(self, type: type[Record], row: Any) -> _Content:
        name: str = row["name"]
        body: bytes = row["body"]
        # One that has its name in plain was written before its kind was sealed. Where the name is
        # sealed nothing but an envelope is believed: whoever has the file alone can make none.
        is_plain = body.startswith(_JSON) and not name.startswith(SEALED_PREFIX)
        if not type.SEALED or is_plain:
            return _Content(
                name=name,
                parent=row["parent"],
                arn=row["arn"],
                tags=cast(dict[str, str], msgspec.json.decode(row["tags"])),
                record=msgspec.Raw(body),
            )
        about = _about(type, row["account"], row["region"], name)
        return msgspec.json.decode(self._needed().open(body, about), type=_Content)

    def _name(self, type: type[Record], place: Place) -> str:
        if not type.SEALED:
            return place.name
        return self._digest(type, "name", place.account, place.region, place.name)

    def _digest(self, type: type[Record], *parts: str) -> str:
        self._needed()
        encoded = [part.encode("utf-8", "surrogatepass") for part in (type.KIND, *parts)]
        message = b"".join(len(part).to_bytes(4) + part for part in encoded)
        return f"{SEALED_PREFIX}{hmac.digest(self._naming, message, 'sha256').hex()}"

    def _seal(self, kind: type[Record], item: Item[Any]) -> bytes:
        content = _Content(
            name=item.name,
            parent=item.parent,
            arn=item.arn,
            tags=dict(item.tags),
            record=msgspec.Raw(msgspec.json.encode(item.record)),
        )
        place = item.place
        about = _about(kind, place.account, place.region, self._name(kind, place))
        return self._needed().seal(msgspec.json.encode(content), about)

    def _needed(self) -> KeySource:
        if self._keys is None:
            raise NoKey("records of sealed kinds need the master key")
        return self._keys


def _about(type: type[Record], account: str, region: str, digest: str) -> bytes:
    return f"resource:{type.KIND}:{account}:{region}:{digest}".encode()
