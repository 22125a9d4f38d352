"""Edits of time zones, changes of that of the machine, and nodes that ask for the time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edit import PIPELINE, Edit, edited

DAY = "'2026-07-01 23:30:00+00'::timestamptz::date"
QUERY = f'nodes:\n  node: {{sql: "select {DAY} as day"%s}}\n'
CHECKED = "timezone: Europe/Berlin\n" + PIPELINE.replace("}", ", checks: [{sql: select * from this where 1 > 2}]}")
OF_RUN = 'nodes:\n  node: {sql: "select $d as d", with: {d: "${{ run.date }}"}}\n'
BERLIN = {"TZ": "Europe/Berlin"}
ZONE = "timezone: Europe/Berlin\n"


def query(what: str, more: str = "") -> str:
    return f'nodes:\n  node: {{sql: "select {what}"{more}}}\n'


def python(body: str) -> dict[str, str]:
    return {"steps.py": f"import datetime as dt, random, time, uuid\n\ndef f():\n    {body}\n"}


def asks(name: str, files: Mapping[str, str], what: str, **more: Any) -> Edit:
    """Return the row of a node that runs again although nothing has changed: it asks for the time, or draws."""
    return Edit(name=name, files=files, runs_again=True, reason=what, **more)


def stays(name: str, files: Mapping[str, str], **more: Any) -> Edit:
    return Edit(name=name, files=files, runs_again=False, **more)


def script(text: str, **files: str) -> dict[str, str]:
    return {"p.yaml": f"nodes:\n  node: {{run: {json.dumps(text)}, format: csv}}\n", **files}


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
    edited("not the zone of the file where only a check has a query", {"p.yaml": CHECKED, **python("return {'a': 1}")},
           "Berlin", "Paris", runs_again=False),  # the table stays, and the check is made again
    # queries that ask for the time
    asks("today's date in a query", {"p.yaml": query("current_date")}, "it asks for the time, current_date (p.yaml:2)"),
    asks("the time in a query", {"p.yaml": query("now()")}, "it asks for the time, now() (p.yaml:2)"),
    asks("an age until today", {"p.yaml": query("age(date '2020-01-01')")}, "it asks for the time, age(…)"),
    asks("the time in the file of a query", {"p.yaml": "nodes: {node: {sql: a.sql}}\n", "a.sql": "select\ntoday()"},
         "it asks for the time, today() (a.sql)"),
    asks("a sample of a percentage in a query", {"p.yaml": query("* from range(9) using sample 10%")},
         "it draws what nfrun cannot seed: a sample without a seed (p.yaml:2)"),
    asks("a query that draws on several threads", {"p.yaml": query("random()", ", resources: {cpu: 2}")},
         "it draws what nfrun cannot seed: random() (p.yaml:2)"),
    stays("a query that draws with the seed of nfrun", {"p.yaml": query("random(), uuid()")}),
    stays("the time in a query with `cache: true`", {"p.yaml": query("now()", ", cache: true")}),
    stays("the time in a comment of a query", {"p.yaml": query("1 /* now() */")}),
    Edit(name="the date of the run in a value", files={"p.yaml": OF_RUN}, options={"date": "2026-01-01"},
         options_after={"date": "2026-01-02"}, runs_again=True, by="run"),
    Edit(name="not the date of the run where it is the same", files={"p.yaml": OF_RUN}, options={"date": "2026-01-01"},
         runs_again=False, by="run"),
    # code that asks for the time
    asks("today's date in code", python("return {'a': str(dt.date.today())}"),
         "it asks for the time, datetime.date.today (steps.py:4): give it the date as a value, ${{ run.date }}"),
    asks("the seconds in code", python("return {'a': time.time()}"), "it asks for the time, time.time (steps.py:4)"),
    asks("what nothing seeds", python("return {'a': str(uuid.uuid4())}"),
         "it draws what nfrun cannot seed: uuid.uuid4 (steps.py:4)"),
    asks("what a query in code draws", {"steps.py": "import duckdb\n\ndef f():\n"
         "    return duckdb.sql('select random() as r').to_arrow_table()\n"}, "random() (steps.py:4)"),
    asks("the time in a helper of another module", {"steps.py": "from other import day\ndef f(): return {'a': day()}\n",
         "other.py": "import datetime\ndef day(): return str(datetime.date.today())\n"}, "(other.py:2)"),
    asks("the time in a class", {"steps.py": "import datetime\nclass A:\n    at = str(datetime.date.today())\n"
         "def f(): return {'a': A.at}\n"}, "(steps.py:3)"),
    asks("the time in a script that code starts", {"steps.py": "import subprocess\n"
         "def f(): return {'a': subprocess.run('date +%F', shell=True, capture_output=True, text=True).stdout}\n"},
         "it asks for the time, date (steps:f)"),
    *(asks(f"the time in {name} that code starts", {"steps.py": "import subprocess\n"
           f"def f(): return {{'a': subprocess.run({words}, capture_output=True, text=True).stdout}}\n", **files}, what)
      for name, words, files, what in [
          ("a shell script", ["bash", "a.sh"], {"a.sh": "date +%F\n"}, "it asks for the time, date (a.sh)"),
          ("a Python script", ["python3", "a.py"], {"a.py": "import datetime\nprint(datetime.date.today())\n"},
           "it asks for the time, datetime.date.today (a.py:2)"),
          ("a script that a script starts", ["bash", "a.sh"], {"a.sh": "bash b.sh\n", "b.sh": "echo $RANDOM\n"},
           "it draws what nfrun cannot seed: $RANDOM (b.sh)"),
      ]),
    stays("a duration in code", python("t = time.time(); print(time.time() - t); return {'a': 1}")),
    stays("the time in a line of a log", python("print(dt.datetime.now()); return {'a': 1}")),
    stays("the clock of a library", {"steps.py": "import logging\ndef f(): logging.error('x'); return {'a': 1}\n"}),
    stays("what workers seed", python("return {'a': random.random()}")),
    # scripts that ask for the time
    asks("the date in a script", script("printf 'a\\n%s\\n' $(date +%F) > $NFRUN_OUTPUT"),
         "it asks for the time, date (p.yaml:2)"),
    asks("the date in a Python script that a script starts", script("python3 a.py > $NFRUN_OUTPUT",
         **{"a.py": "import datetime\nprint('a')\nprint(datetime.date.today())\n"}), "datetime.date.today (a.py:3)"),
    asks("the date in a shell script that a script starts", script("sh a.sh > $NFRUN_OUTPUT",
         **{"a.sh": "echo a\necho $(date +%F)\n"}), "it asks for the time, date (a.sh)"),
    asks("the date in a program in a folder", script("sh bin/days > $NFRUN_OUTPUT",
         **{"bin/days": "#!/bin/sh\necho a\necho $(date +%F)\n"}), "it asks for the time, date (bin/days)"),
    asks("the date in a query that a script names", script("cat q.sql > $NFRUN_OUTPUT",
         **{"q.sql": "select current_date\n"}), "it asks for the time, current_date (q.sql)"),
    stays("a column of a query that a script names", script("cat q.sql > $NFRUN_OUTPUT",
          **{"q.sql": "select\ndate\nfrom days\n"})),
    stays("the word date in data", script("cat data/days > $NFRUN_OUTPUT", **{"data/days": "date\n2026-01-01\n"})),
    stays("the date in the log of a script", script("echo $(date); printf 'a\\n1\\n' > $NFRUN_OUTPUT")),
    # the local time zone
    *(Edit(name=f"the time zone of the machine, for {name}", files=files, environ=BERLIN, runs_again=True,
           reason="the local time zone changed")
      for name, files in {
          "local time in code": python("return {'a': str(dt.datetime.fromtimestamp(0))}"),
          "a method of a moment": python("return {'a': dt.datetime(2020, 1, 1).timestamp()}"),
          "DuckDB in code": {"steps.py": "import duckdb\ndef f(): return duckdb.sql('select 1').to_arrow_table()\n"},
          "a date in a script": script("printf 'a\\n%s\\n' $(date -d @0 +%F) > $NFRUN_OUTPUT"),
      }.items()),
    stays("the time zone of the machine, for other code", python("return {'a': 1}"), environ=BERLIN),
    stays("the time zone of the machine, for code with a zone", python(
        "return {'a': str(dt.datetime.fromtimestamp(0, dt.timezone.utc))}"), environ=BERLIN),
    stays("another name of the time zone of the machine", python("return {'a': str(dt.datetime.fromtimestamp(0))}"),
          environ={"TZ": "Etc/UTC"}),
    stays("the time zone of the machine where the file says TZ",
          {"p.yaml": "env: {TZ: Asia/Tokyo}\n" + PIPELINE, **python("return {'a': str(dt.datetime.fromtimestamp(0))}")},
          environ=BERLIN),
]  # fmt: skip
