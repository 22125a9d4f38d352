"""Edits of time zones, changes of that of the machine, and nodes that ask for the time."""

from __future__ import annotations

from edit import Edit, edited

DAY = "'2026-07-01 23:30:00+00'::timestamptz::date"
QUERY = f'nodes:\n  node: {{sql: "select {DAY} as day"%s}}\n'
CHECK = 'nodes:\n  node: {sql: "select 1 as n", checks: [{sql: "select * from this where hour(now()) > 99"}]}\n'
BERLIN, TOKYO = {"TZ": "Europe/Berlin"}, {"TZ": "Asia/Tokyo"}
ZONE = "timezone: Europe/Berlin\n"


def zone(name: str, pipeline: str, old: str, new: str, *, runs_again: bool, reason: str = "") -> Edit:
    return edited(name, {"p.yaml": pipeline}, old, new, runs_again=runs_again, reason=reason)


ROWS: list[Edit] = [
    # queries
    zone("the time zone of the file", ZONE + QUERY % "", "Berlin", "Paris", runs_again=True,
         reason="the time zone of its queries changed"),
    zone("a time zone for the file", QUERY % "", "nodes:", ZONE + "nodes:", runs_again=True),
    zone("not the zone that queries have anyway", QUERY % "", "nodes:", "timezone: UTC\nnodes:", runs_again=False),
    zone("the time zone of a node", QUERY % ", timezone: Asia/Tokyo", "Tokyo", "Seoul", runs_again=True),
    zone("not the zone of the file where the node has one", ZONE + QUERY % ", timezone: UTC", "Berlin", "Paris",
         runs_again=False),
    Edit(name="not the time zone of the machine, for a query", files={"p.yaml": QUERY % ""}, environ=BERLIN,
         runs_again=False),
]  # fmt: skip
