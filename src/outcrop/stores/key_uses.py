"""When and for what each access key and role was last used: in memory, written now and then.

Keys have their ID, roles their unique ID. A use that was not flushed is lost with the process.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from outcrop.stores.database import Database
from outcrop.stores.failures import StoreError
from outcrop.stores.tables import access_key_uses, from_ms, to_ms


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class KeyUse:
    """``service`` is the name that the request was signed for (``bedrock``)."""

    time: datetime
    service: str
    region: str


class KeyUses:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[str, KeyUse] = {}
        self._unwritten: dict[str, KeyUse | None] = {}

    def find(self, key_id: str) -> KeyUse | None:
        return self._uses.get(key_id)

    def touch(self, key_id: str, use: KeyUse) -> None:
        self._uses[key_id] = self._unwritten[key_id] = use

    def forget(self, key_id: str) -> None:
        """The key or role is deleted."""
        self._uses.pop(key_id, None)
        self._unwritten[key_id] = None

    async def load(self) -> None:
        """Takes in what was written, unless a later use is known."""
        async with self._database.read() as connection:
            rows = (await connection.execute(sa.select(access_key_uses))).mappings().all()
        for row in rows:
            use = KeyUse(from_ms(row["used_at_ms"]), row["service"], row["region"])
            known = self._uses.get(row["key_id"])
            if known is None or known.time < use.time:
                self._uses[row["key_id"]] = use

    async def flush(self) -> None:
        if not self._unwritten:
            return
        unwritten, self._unwritten = self._unwritten, {}
        rows = [
            {
                "key_id": key_id,
                "used_at_ms": to_ms(use.time),
                "service": use.service,
                "region": use.region,
            }
            for key_id, use in unwritten.items()
            if use is not None
        ]
        old = sa.delete(access_key_uses).where(access_key_uses.c.key_id == sa.bindparam("old"))
        try:
            async with self._database.write() as connection:
                await connection.execute(old, [{"old": key_id} for key_id in unwritten])
                if rows:
                    await connection.execute(sa.insert(access_key_uses), rows)
        except StoreError:
            self._unwritten = unwritten | self._unwritten
            raise
