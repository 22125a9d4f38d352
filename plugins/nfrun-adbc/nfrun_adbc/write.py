"""The kind `adbc.write`: writes a table into a table of a database, all of it or nothing.

The rows go into a temporary table first, and from there into their table. All of it is one transaction: an attempt that
fails, is stopped or killed leaves the database as it was. The table keeps its definition, its indexes and its rights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from nfrun import Job, NodeError
from nfrun_adbc.column_types import as_taken, type_in
from nfrun_adbc.database_process import reader_apart
from nfrun_adbc.databases import Database, connected, scheme_of, uri_of

_SHOWN = 20  # columns, in a message
# Types of PostgreSQL that take texts as they are: a cast would cut them to the length of the column.
_TEXTS = ("text", "character varying", "character", "name")
_NOT_COMPARED = ("json", "xml", "point", "box", "path", "polygon", "circle", "line", "lseg")
# Types that a database rounds or cuts a value for.
_ROUNDED = (
    *(
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "hugeint",
        "utinyint",
        "usmallint",
        "uinteger",
        "ubigint",
        "uhugeint",
    ),
    *("real", "float", "double", "numeric", "decimal", "date", "time"),
)
# The columns of a table and their types, none if it is not there. The parameters are the schema and the name.
_COLUMNS = {
    "sqlite": "with t(place, name) as (values (?, ?)) "
    "select i.name, i.type from t, pragma_table_info(t.name, coalesce(t.place, 'main')) i",
    "duckdb": "select column_name, data_type from duckdb_columns() where database_name = current_database() "
    "and lower(schema_name) = lower(coalesce($1, current_schema())) and lower(table_name) = lower($2) "
    "order by column_index",
    "postgresql": "select attname, format_type(atttypid, atttypmod) from pg_attribute where attnum > 0 "
    "and not attisdropped and attrelid = to_regclass(concat(quote_ident($1) || '.', quote_ident($2))) order by attnum",
}
# Whether there is a schema of this name, the parameter. SQLite has told it before.
_SCHEMA = {
    "duckdb": "select 1 from duckdb_schemas() where database_name = current_database() "
    "and lower(schema_name) = lower($1)",
    "postgresql": "select 1 from pg_namespace where nspname = $1",
}


def run(job: Job) -> dict[str, object]:
    """Write the input. The output has one row: table, mode and rows."""
    values, table = job.node.values, job.table(job.node.inputs[0])
    mode = values["mode"]
    _check_input(table, _keys(mode))
    if scheme_of(uri_of(job)) == "postgresql":
        write_rows(job)
    else:
        reader_apart("write", job, job.node.inputs[0]).read_all()
    name = ".".join(filter(None, (values.get("schema"), values["table"])))
    rows = "1 row" if table.num_rows == 1 else f"{table.num_rows:,} rows"
    job.log.info("%s in %s", rows, name)
    shown = mode if isinstance(mode, str) else "upsert"
    return {"written": [{"table": name, "mode": shown, "rows": table.num_rows}]}


def write_rows(job: Job) -> None:
    """Write the input, over a connection of this process."""
    values, table = job.node.values, job.table(job.node.inputs[0])
    mode = values["mode"]
    with connected(job, reads=False) as database:
        taken = as_taken(database.scheme, table)
        writer = _Writer(database, values.get("schema"), values["table"], taken, _keys(mode))
        writer.write(replaces=mode == "replace")
        if job.stop.requested:
            raise NodeError("stopped")
        database.commit()


def _keys(mode: Any) -> Sequence[str]:
    return mode["upsert"] if isinstance(mode, dict) else ()


def _check_input(table: pa.Table, keys: Sequence[str]) -> None:
    """Check what can be wrong with a table, whatever the database is. Raises NodeError."""
    names = table.column_names
    if not names:
        raise NodeError("the input has no columns")
    if odd := next((name for name in names if not name or "\0" in name), None):
        raise NodeError(f"{odd!r} cannot be the name of a column")
    if "" in names:
        raise NodeError("a column of the input has no name", "name it in the node before")
    lower = [name.lower() for name in names]
    if twice := next((name for i, name in enumerate(names) if name.lower() in lower[:i]), None):
        raise NodeError(f"the input has two columns called '{twice}', also if capitals do not count", "rename one")
    for key in keys:
        if key not in names:
            raise NodeError(
                f"'upsert' names the column '{key}', which the input does not have", f"there is {_listed(names)}"
            )
        if nulls := table[key].null_count:
            rows = "1 row" if nulls == 1 else f"{nulls:,} rows"
            what = f"the key '{key}' is null in {rows}: such rows cannot be told apart"
            raise NodeError(what, "leave them out, or give them a value, in the node before")


class _Writer:
    """Writes a table, with the names and in the words of one database. All of it is in one transaction."""

    def __init__(self, database: Database, schema: str | None, name: str, table: pa.Table, keys: Sequence[str]) -> None:
        self._database, self._scheme, self._table, self._keys = database, database.scheme, table, keys
        self._schema, self._name = schema, name
        self._there: Mapping[str, str] = {}
        self._target = f"{_quoted(schema)}.{_quoted(name)}" if schema else _quoted(name)
        self._staging_name = f"nfrun_staging_{os.urandom(6).hex()}"
        self._staging = _quoted(self._staging_name)

    def write(self, *, replaces: bool) -> None:
        """Write the rows into their table, which is made if it is not there. `replaces`: without the rows before."""
        there = self._there = self._columns()
        if not there:
            self._create()
        elif lacking := self._unknown(there):
            what = f"{self._target} has no column {_listed(lacking)}; it has {_listed([*there])}"
            raise NodeError(what, "add it to the table, drop the table, or leave the column out in the node before")
        if self._scheme == "sqlite":
            self._check_values(there)
        if self._scheme == "postgresql":  # readers go on; others that write wait
            self._do(f"lock table {self._target} in share row exclusive mode")
        self._database.ingest(self._staging_name, self._table)
        self._check_casts()
        if self._scheme == "postgresql":  # its plans depend on the number of rows
            self._do(f"analyze {self._staging}")
        if self._keys:
            self._check_keys()
            if there:
                self._update()
        if replaces and there:
            self._do(f"delete from {self._target}")
        self._insert()
        self._do(f"drop table {self._staging}")

    def _check_values(self, there: Mapping[str, str]) -> None:
        """Raise NodeError for a value that SQLite would change, or keep in a column of another type."""
        from nfrun_adbc.sqlite_file import check_floats, misfit

        check_floats(self._table)
        for name in self._table.column_names if there else ():
            type = self._type_there(name)
            if (value := misfit(self._table[name], type)) is not None:
                raise self._misfit(name, type, repr(value))

    def _misfit(self, name: str, type: str, value: str) -> NodeError:
        what = f"the column '{name}' of {self._target} is {type}, and the value {value} does not fit exactly"
        return NodeError(what, "cast the column in the node before, or change the type in the table")

    def _check_casts(self) -> None:
        """Raise NodeError for a value that DuckDB or PostgreSQL would round to fit the type of its column."""
        if self._scheme == "sqlite":
            return
        for field in self._table.schema:
            name, type = _quoted(field.name), self._type_there(field.name)
            own = type_in(self._scheme, field.type)
            if type == own or not type.startswith(_ROUNDED):
                continue
            value = name
            if pa.types.is_string(field.type):
                own = _exact(self._scheme, type)
                if own is None:
                    continue
                value = f"cast({name} as {own})"
            kept = f"cast(cast({name} as {type}) as {own})"
            lost = f"select cast({name} as varchar) from {self._staging} where {kept} is distinct from {value} limit 1"
            if found := self._database.rows(lost):
                raise self._misfit(field.name, type, found[0][0])

    def _type_there(self, name: str) -> str:
        """Return the type of a column of the table; "" if the table is new."""
        if self._scheme == "postgresql":
            return self._there.get(name, "")
        return next((type.lower() for known, type in self._there.items() if known.lower() == name.lower()), "")

    def _do(self, sql: str) -> None:
        self._database.execute(sql)

    def _columns(self) -> dict[str, str]:
        return dict(self._database.rows(_COLUMNS[self._scheme], [self._schema, self._name]))

    def _unknown(self, there: Mapping[str, str]) -> list[str]:
        """Return the columns of the input that the table lacks: capitals count in PostgreSQL only."""
        if self._scheme == "postgresql":
            return [name for name in self._table.column_names if name not in there]
        lower = {name.lower() for name in there}
        return [name for name in self._table.column_names if name.lower() not in lower]

    def _create(self) -> None:
        exists = _SCHEMA.get(self._scheme) if self._schema else None
        if exists and not self._database.rows(exists, [self._schema]):
            name = _quoted(self._schema or "")
            raise NodeError(f"there is no schema {name}", f"nfrun makes tables, and no schemas: create schema {name}")
        columns = [f"{_quoted(field.name)} {type_in(self._scheme, field.type)}" for field in self._table.schema]
        if self._keys:
            columns.append(f"primary key ({', '.join(map(_quoted, self._keys))})")
        self._do(f"create table {self._target} ({', '.join(columns)})")

    def _check_keys(self) -> None:
        """Raise NodeError if two rows of the input have the same key: which one would stay?"""
        keys = ", ".join(map(_quoted, self._keys))
        twice = self._database.rows(
            f"select {keys}, count(*) from {self._staging} group by {keys} having count(*) > 1 limit 1"
        )
        if twice:
            *values, count = twice[0]
            key = ", ".join(f"{name} {value!r}" for name, value in zip(self._keys, values, strict=True))
            raise NodeError(f"{count} rows of the input have the key {key}", "keep one of them in the node before")

    def _match(self, target: str) -> str:
        return " and ".join(f"{target}.{_quoted(key)} = {self._taken(key)}" for key in self._keys)

    def _update(self) -> None:
        """Update the rows whose keys are there, but for those that are as they should be."""
        others = [name for name in self._table.column_names if name not in self._keys]
        if not others:
            return
        sets = ", ".join(f"{_quoted(name)} = {self._taken(name)}" for name in others)
        sql = f"update {self._target} as t set {sets} from {self._staging} as s where {self._match('t')}"
        if not any(self._there.get(name) in _NOT_COMPARED for name in others):
            differs = [f"t.{_quoted(name)} is distinct from {self._taken(name)}" for name in others]
            sql += f" and ({' or '.join(differs)})"
        self._do(sql)

    def _taken(self, name: str) -> str:
        """Return the value of a column for its table. PostgreSQL makes no uuid or jsonb of a text by itself."""
        type, value = self._there.get(name, ""), f"s.{_quoted(name)}"
        is_text = pa.types.is_string(self._table.schema.field(name).type)
        type = type.partition("(")[0] if type.startswith(_TEXTS) else type
        casts = self._scheme == "postgresql" and is_text and type and type not in _TEXTS
        return f"cast({value} as {type})" if casts else value

    def _insert(self) -> None:
        names = self._table.column_names
        new = ""
        if self._keys:  # not in the table; a key of the input is never null
            new = f" left join {self._target} as t on {self._match('t')} where t.{_quoted(self._keys[0])} is null"
        taken = ", ".join(self._taken(name) for name in names)
        into = f"{self._target} ({', '.join(map(_quoted, names))})"
        self._do(f"insert into {into} select {taken} from {self._staging} as s{new}")


def _exact(scheme: str, type: str) -> str | None:
    """Return a type that keeps a text that `type` would round; None if it rounds none, or no type does."""
    if type == "date":
        return "timestamp"
    if type.startswith(("numeric", "decimal")) or "int" in type:
        if scheme == "postgresql":
            return "numeric"
        found = re.search(r"\((\d+),\s*(\d+)\)", type)
        return f"decimal(38, {38 - int(found[1]) + int(found[2])})" if found else "decimal(38, 18)"
    return None


def _quoted(name: str) -> str:
    if "\0" in name:
        raise NodeError(f"{name!r} cannot be a name in a database")
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + more
