"""Invocation logs as a table of DuckDB, for one SELECT: it reads no file and asks no network."""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from outcrop.stores.failures import StoreError

_AT_ONCE: Final = 500
_COLUMNS: Final = {
    "timestamp": "(r->>'$.timestamp')::TIMESTAMPTZ AT TIME ZONE 'UTC'",
    "accountId": "r->>'$.accountId'",
    "region": "r->>'$.region'",
    "requestId": "r->>'$.requestId'",
    "operation": "r->>'$.operation'",
    "modelId": "r->>'$.modelId'",
    "identity": "r->>'$.identity.arn'",
    "inputTokenCount": "(r->>'$.input.inputTokenCount')::BIGINT",
    "outputTokenCount": "(r->>'$.output.outputTokenCount')::BIGINT",
    "errorCode": "r->>'$.errorCode'",
    "input": "r->'$.input'",
    "output": "r->'$.output'",
}
_TYPES: Final = {
    "timestamp": "TIMESTAMP",
    "inputTokenCount": "BIGINT",
    "outputTokenCount": "BIGINT",
    "input": "JSON",
    "output": "JSON",
}
# Extensions would come from the network, and what does not fit in memory would go to a file.
_SETTINGS: Final = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "1GB",
    "temp_directory": "",
}


class QueryError(StoreError):
    """The query cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def run_query(sql: str, records: Iterable[bytes]) -> Table:
    """``records`` are invocation-log records as JSON."""
    duckdb = _duckdb()
    try:
        with duckdb.connect(":memory:", config=_SETTINGS) as connection:
            connection.execute("SET enable_external_access = false")
            _require_select(duckdb, connection, sql)
            _fill(connection, records)
            connection.execute("SET lock_configuration = true")
            found = connection.execute(sql)
            names = [str(column[0]) for column in found.description]
            return Table(names, found.fetchall())
    except duckdb.Error as error:
        raise QueryError(f"The query does not run: {error}") from error


def _fill(connection: Any, records: Iterable[bytes]) -> None:
    columns = ", ".join(f'"{name}" {_TYPES.get(name, "VARCHAR")}' for name in _COLUMNS)
    connection.execute(f"CREATE TABLE invocations ({columns})")
    insert = (
        # The names are ours, and the records go in as a parameter.
        f"INSERT INTO invocations SELECT {', '.join(_COLUMNS.values())} "  # noqa: S608
        "FROM (SELECT unnest(CAST(CAST(? AS JSON) AS JSON[])) AS r)"
    )
    remaining = iter(records)
    while chunk := list(islice(remaining, _AT_ONCE)):
        connection.execute(insert, [(b"[" + b",".join(chunk) + b"]").decode()])


def _require_select(duckdb: Any, connection: Any, sql: str) -> None:
    statements = connection.extract_statements(sql)
    reads = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in reads:
        raise QueryError("Only one SELECT is run: invocation logs are read, not changed.")


def _duckdb() -> Any:
    try:
        return importlib.import_module("duckdb")
    except ImportError as error:
        raise QueryError(
            "Queries need DuckDB, which is not installed: pip install 'outcrop[logs]'."
        ) from error
