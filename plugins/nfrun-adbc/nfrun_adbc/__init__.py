"""Kinds of node for nfrun that query databases and write to them: SQLite, DuckDB and PostgreSQL."""
