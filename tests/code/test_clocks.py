"""Tests of what code, queries and scripts show that asks for the time, draws, or depends on the local time zone."""

from __future__ import annotations

import ast
from pathlib import Path

import duckdb
import pytest

from nfrun.code.facts.clocks import clocks_in_query, draws_in_query
from nfrun.code.facts.code_facts import CodeFacts
from nfrun.code.facts.fact_reader import FactReader
from nfrun.code.facts.script_clocks import time_in_file, time_in_script
from nfrun.code.fingerprint import Fingerprints
from nfrun.nodes.text_facts import _WORDS

# -- queries -----------------------------------------------------------------------------------------------------------

QUERIES = {
    "create macro t() as current_date; select t()": "current_date",
    "SELECT CURRENT_TIMESTAMP": "CURRENT_TIMESTAMP",
    "select DATE(now)": "DATE(…)",  # of a script, without its quotes
    "select current_date": "current_date",
    "select CURRENT_TIMESTAMP, 1": "CURRENT_TIMESTAMP",
    "select * from t where day >= current_date - 7": "current_date",
    "select Now ( )": "Now()",
    "select today()": "today()",
    "select localtime": "localtime",
    "select age(born) from t": "age(…)",
    "select age(date_trunc('day', coalesce(cast(born as date), other))) from t": "age(…)",
    "select uuidv7()": "uuidv7()",
    "copy (select now()) to 'x.csv'": "now()",
}
NO_CLOCKS = [
    "select 1 -- now()",
    "select /* current_date */ 1",
    "select 'now()', \"current_date\" from t",
    "select $$ now() $$, $x$ today() $x$",
    "select today, now, age from t",
    "select $day::date as current_date",
    "select t.current_date from t",
    "select age(a, b), age(timestamp '2020-01-01', coalesce(c, d)) from t",
    "select average(x), page(y), knows() from t",
    "select date_trunc('day', ts), strftime(ts, '%F'), epoch(ts) from t",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_asks_for_the_time_is_found(query: str) -> None:
    assert next(clocks_in_query(query), "") == QUERIES[query]
    assert _WORDS.search(query)


@pytest.mark.parametrize("query", NO_CLOCKS)
def test_what_looks_like_a_clock_in_a_query_is_none(query: str) -> None:
    assert list(clocks_in_query(query)) == []


def test_all_functions_of_duckdb_that_tell_the_time_are_known() -> None:
    """DuckDB knows which functions give another value in each query; those without arguments give a time or a date."""
    found = duckdb.connect().sql(
        "select function_name from duckdb_functions() where stability = 'CONSISTENT_WITHIN_QUERY' "
        "and len(parameters) = 0 and (return_type = 'DATE' or return_type like 'TIME%')"
    )
    names = {name for (name,) in found.fetchall()}
    assert {"now", "today", "current_date"} <= names
    assert [name for name in sorted(names) if not list(clocks_in_query(f"select {name}()"))] == []


# Whether DuckDB's seed, of one thread, does not reach what is drawn; then whether it is drawn without any seed.
DRAWN = {
    "using sample 10%": (True, True),
    "using sample 10 percent (bernoulli)": (True, True),
    "tablesample system(10%)": (True, True),
    "using sample 10": (False, True),
    "using sample reservoir(10 rows)": (False, True),
    "using sample 10% (bernoulli, 42)": (False, False),
    "tablesample bernoulli(10%) repeatable (42)": (False, False),
    "order by random() limit 10": (False, True),
    "order by uuid() limit 10": (False, True),
}


@pytest.mark.parametrize("drawn", DRAWN)
def test_what_a_query_draws_is_found_where_no_seed_reaches_it(drawn: str) -> None:
    def rows(seed: str) -> list[tuple[int, ...]]:
        connection = duckdb.connect(config={"threads": 1})
        connection.execute(seed).fetchall()
        return connection.sql(f"from range(20000) {drawn}").fetchall()

    for seed, draws in zip(("select setseed(0.5)", "select 1"), DRAWN[drawn], strict=True):
        first = rows(seed)
        assert any(first != rows(seed) for _ in range(9)) is draws  # 9 samples of 10 blocks may be the same
        found = list(draws_in_query(f"select * from t {drawn}", seeded="setseed" in seed))
        assert bool(found) is draws


# -- Python ------------------------------------------------------------------------------------------------------------

IMPORTS = """\
import datetime as dt, logging, os, random, secrets, sys, time, uuid
from datetime import date, datetime, timedelta
from datetime import datetime as When
from time import time as seconds, strftime
import arrow, duckdb, numpy as np, pandas as pd, pendulum
import numpy.random as npr, simpy
log = logging.getLogger(__name__)
clock = datetime.now
Moment = dt.datetime
"""
# The body of the function f, and what it asks.
CLOCKS = {
    "return time.clock_gettime(0)": "time.clock_gettime",
    "return date.today()": "datetime.date.today",
    "return datetime.now()": "datetime.datetime.now",
    "return datetime.now(dt.timezone.utc)": "datetime.datetime.now",
    "return clock()": "datetime.datetime.now",
    "return pd.Timestamp.now()": "pandas.Timestamp.now",
    "return pd.Timestamp('now')": "pandas.Timestamp",
    "return pd.date_range(end='today', periods=7)": "pandas.date_range",
    "return Moment.now()": "datetime.datetime.now",
    "now = datetime.now\n return now()": "datetime.datetime.now",
    "return field(default_factory=datetime.now)": "datetime.datetime.now",
    "return pendulum.yesterday()": "pendulum.yesterday",
    "return strftime('%F')": "time.strftime",
    "return time.ctime()": "time.ctime",
    "return {'at': time.time()}": "time.time",
    "since = time.time() - 7 * 86400\n return since": "time.time",
    "start = time.time()\n return {'at': time.time(), 'took': time.time() - start}": "time.time",
    "rows['age'] = (pd.Timestamp.now() - rows['born']).dt.days\n return rows": "pandas.Timestamp.now",
    "import time as t\n return t.strftime('%F')": "time.strftime",
    "since = datetime.now() - timedelta(days=7)\n return since": "datetime.datetime.now",
    "start = datetime.now()\n print(datetime.now() - start)\n return {'at': start}": "datetime.datetime.now",
    "return f'{date.today():%F}'": "datetime.date.today",
    "return print(date.today(), file=open('x', 'w'))": "datetime.date.today",
    "return duckdb.sql('select current_date')": "current_date",
    "return db.execute(\"select date('now')\")": "date(…)",
}
NO_CLOCKS_IN_PYTHON = [
    "start = time.perf_counter()\n return time.perf_counter() - start",
    "return time.monotonic(), time.process_time(), time.thread_time_ns()",
    "start = time.time()\n print(f'{time.time() - start:.1f} s')",
    "self.start = time.time()\n self.took = time.time() - self.start",
    "deadline = time.time() + 10\n while time.time() < deadline: time.sleep(1)",
    "start = datetime.now()\n took = datetime.now() - start\n return took.total_seconds()",
    "log.info('at %s', datetime.now())",
    "print(datetime.now(), 'begins')",
    "sys.stderr.write(f'{datetime.now()}')",
    "raise ValueError(f'at {datetime.now()}')",
    "return time.strftime('%F', time.gmtime(0))",
    "return time.gmtime(0), time.localtime(0), time.ctime(0)",
    "return pd.Timestamp('2020-01-01'), np.datetime64('2020-01-01'), pd.to_datetime(day)",
    "return datetime(2020, 1, 1), datetime.fromisoformat(day), datetime.strptime(day, '%F')",
    "return row.today, row.now, self.now(), simpy.Environment().now",
    "'''Return now(); select current_date.'''",
    "return 'for now (select one)'",
]
DRAWS = {
    "return uuid.uuid4()": "uuid.uuid4",
    "return secrets.token_hex(4)": "secrets.token_hex",
    "return os.urandom(4)": "os.urandom",
    "return random.Random().random()": "random.Random",
    "return np.random.default_rng().random()": "numpy.random.default_rng",
    "return npr.default_rng(None).random()": "numpy.random.default_rng",
    "return npr.Generator(npr.PCG64())": "numpy.random.PCG64",
    "np.random.seed(None)": "numpy.random.seed",
    "return duckdb.sql('select random() as r')": "random()",
    "return db.execute(f'select * from {self.t} using sample 10 rows')": "a sample without a seed",
}
NO_DRAWS = [
    "return random.random()",  # a worker seeds it
    "return np.random.default_rng(0), npr.default_rng(1), random.seed(0)",
    "return npr.default_rng(seed), npr.RandomState(seed=3), random.Random('a')",
    "return uuid.uuid5(uuid.NAMESPACE_DNS, name), uuid.UUID(name)",
    "return secrets.compare_digest(a, b)",
]
LOCAL = [
    "return [*map(datetime.fromtimestamp, numbers)]",
    "return datetime.fromtimestamp(0)",
    "return time.mktime(parts)",
    "return time.strftime('%F', time.gmtime(0))",
    "return datetime(2020, 1, 1).timestamp()",
    "return row.at.astimezone()",
    "return pd.Timestamp.fromtimestamp(0)",
    "return arrow.get(0).to('local')",
    "return db.execute(\"select datetime(0, 'unixepoch', 'localtime')\")",
    "return duckdb.sql('from t')",
]
NOT_LOCAL = [
    "return datetime.fromtimestamp(0, dt.timezone.utc), datetime.fromtimestamp(0, tz=zone)",
    "return time.gmtime(0), time.time_ns()",
    "return row.timestamp, pa.timestamp('us'), df['a'].dt.strftime('%F')",
]


def facts(tmp_path: Path, body: str) -> CodeFacts:
    (tmp_path / "steps.py").write_text(f"{IMPORTS}def f(self, row, rows, day, db, **values):\n {body}\n")
    found = FactReader(Fingerprints(tmp_path)).of("steps", "f")
    if "print" not in body:  # what a script prints may be its output
        script = time_in_file(tmp_path / "steps.py", "steps.py")
        for name in ("clocks", "draws"):
            assert {of.what for of in getattr(script, name)} >= {of.what for of in getattr(found, name)}, name
    return found


@pytest.mark.parametrize("body", CLOCKS)
def test_code_that_asks_for_the_time_is_found(tmp_path: Path, body: str) -> None:
    asked = [of.what for of in facts(tmp_path, body).clocks]
    assert asked == [CLOCKS[body]]


@pytest.mark.parametrize("body", NO_CLOCKS_IN_PYTHON)
def test_code_that_only_measures_or_logs_does_not_ask_for_the_time(tmp_path: Path, body: str) -> None:
    ast.parse(f"def f():\n {body}")
    assert facts(tmp_path, body).clocks == []


@pytest.mark.parametrize("body", DRAWS)
def test_what_code_draws_from_the_system_is_found(tmp_path: Path, body: str) -> None:
    assert [of.what for of in facts(tmp_path, body).draws] == [DRAWS[body]]


@pytest.mark.parametrize("body", NO_DRAWS)
def test_what_has_a_seed_is_the_same_in_each_run(tmp_path: Path, body: str) -> None:
    assert facts(tmp_path, body).draws == []


@pytest.mark.parametrize("body", LOCAL)
def test_code_that_depends_on_the_local_time_zone_is_found(tmp_path: Path, body: str) -> None:
    assert facts(tmp_path, body).local_time


@pytest.mark.parametrize("body", NOT_LOCAL)
def test_code_with_a_zone_of_its_own_does_not_depend_on_the_local_one(tmp_path: Path, body: str) -> None:
    assert facts(tmp_path, body).local_time == []


def test_a_moment_of_a_module_counts(tmp_path: Path) -> None:
    text = "import time\nfrom datetime import date\nBEGAN = time.time()\nTODAY = date.today()\n"
    (tmp_path / "steps.py").write_text(f"{text}def f(): return BEGAN, TODAY\n")
    found = FactReader(Fingerprints(tmp_path)).of("steps", "f").clocks
    assert [(of.what, of.where) for of in found] == [("time.time", "steps.py:3"), ("datetime.date.today", "steps.py:4")]


# -- scripts -----------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "timeout 5 date > day.txt": "date",
    "nice date > day.txt": "date",
    "sqlite3 x.db \"select DATE('now')\" > day.txt": "DATE(…)",
    "date +%F > $NFRUN_OUTPUT": "date",
    "day=$(date -u +%F)": "date",
    "cp out.csv out-`date +%F`.csv": "date",
    'echo "n,$(date +%F)" > "$NFRUN_OUTPUT"': "date",
    "echo $(date) >> $NFRUN_OUTPUT": "date",
    "echo $(date) | tee x": "date",
    "{ echo day; echo $(date +%F); } > $NFRUN_OUTPUT": "date",
    "for i in 1 2; do echo $(date); done > $NFRUN_OUTPUT": "date",
    "if true; then date; fi > $NFRUN_OUTPUT": "date",
    "date --date='7 days ago' > $NFRUN_OUTPUT": "date",
    "date -d yesterday +%F > $NFRUN_OUTPUT": "date",
    'date -d "$NFRUN_WITH_n days ago" +%F > x': "date",
    "day() {\n echo $(date +%F)\n}\necho $(day) > $NFRUN_OUTPUT": "date",
    "main() {\n echo $(date +%F)\n}\nmain > $NFRUN_OUTPUT": "date",
    "{\n echo day\n echo $(date +%F)\n} > $NFRUN_OUTPUT": "date",
    'while read line; do\n echo "$line,$(date +%F)"\ndone < "$NFRUN_INPUT_a" > "$NFRUN_OUTPUT"': "date",
    "cat > $NFRUN_OUTPUT <<EOF\necho $(date)\nEOF": "date",
    "printf -v day '%(%F)T' -1; echo $day > x": "%(%F)T",
    'echo "a;$(date +%F)" > $NFRUN_OUTPUT': "date",
    "since=$(( $(date +%s) - 7 * 86400 )); echo $since > x": "date",
    "printf '%(%F)T' -1 > $NFRUN_OUTPUT": "%(%F)T",
    "echo $EPOCHSECONDS > $NFRUN_OUTPUT": "$EPOCHSECONDS",
    "find data -mtime -7 > $NFRUN_OUTPUT": "-mtime",
    "awk '{ print strftime(\"%F\") }' x > y": 'strftime("%F")',
    "node -e 'console.log(Date.now())' > x": "Date.now",
    "duckdb -csv -c 'select today()' > $NFRUN_OUTPUT": "today()",
    'python3 -c "import datetime; print(datetime.date.today())" > x': "date.today",
    "python3 - <<EOF\nfrom datetime import date\nprint(date.today())\nEOF": "date.today",
}
NO_CLOCKS_IN_SCRIPTS = [
    "echo date > $NFRUN_OUTPUT",
    "date=$NFRUN_WITH_day; echo $date > x",
    "printf 'date,n\\n' > x",
    "sort date.csv > x; cut -d, -f2 < update",
    'date -d @0 +%F; date -d 2020-01-01 +%s; date -d "$NFRUN_WITH_day - 1 day" +%F; date -r x.csv',
    "# date\necho 1 > x  # $(date)",
    'echo "$(date) begins"',
    "echo $(date): begins; echo n > $NFRUN_OUTPUT",
    "echo $(date) begins >&2 && cp a b",
    "printf '%s\\n' \"$(date)\" 1>&2; echo 1 > x",
    "echo $(date) >> run.log",
    "date\ncp a b\ndate -u >&2",
    'echo "==> [$(date "+%F %T")] begins"',
    'log() {\n  echo "[$(date)] $*"\n}\nlog "it begins"\ncp a b > $NFRUN_OUTPUT',
    "start=$(date +%s); work; echo $(( $(date +%s) - start ))",
    'start=$(date +%s.%N)\nwork\nend=$(date +%s.%N)\necho "$end - $start" | bc',
    "find data -name '*.csv' | sort > x",
]
DRAWS_IN_SCRIPTS = [
    "echo $RANDOM > x",
    "uuidgen > x",
    "head -c 8 /dev/urandom > x",
    'python3 -c "import secrets; print(secrets.token_hex())" > x',
    "shuf a > x",
    "sort -R a > x",
]
NO_DRAWS_IN_SCRIPTS = ["sleep $((RANDOM % 9))", "shuf --random-source=seed a > x", "sort -r a > x", "echo RANDOM > x"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_asks_for_the_time_is_found(script: str) -> None:
    assert _WORDS.search(script)
    assert [of.what for of in time_in_script(script, "p.yaml:2", prints=True).clocks][:1] == [SCRIPTS[script]]


@pytest.mark.parametrize("script", NO_CLOCKS_IN_SCRIPTS)
def test_a_script_that_only_measures_or_logs_does_not_ask_for_the_time(script: str) -> None:
    assert time_in_script(script, "p.yaml:2", prints=True).clocks == []


@pytest.mark.parametrize("script", [*DRAWS_IN_SCRIPTS, *NO_DRAWS_IN_SCRIPTS])
def test_what_a_script_draws_is_found(script: str) -> None:
    assert bool(time_in_script(script, "p.yaml:2").draws) is (script in DRAWS_IN_SCRIPTS)
    assert script not in DRAWS_IN_SCRIPTS or _WORDS.search(script)


@pytest.mark.parametrize("line", ["echo $(date)", "echo $(date) begins; sleep 1", "printf '%s' \"$(date +%T)\""])
def test_what_a_script_prints_that_another_one_starts_may_be_read(line: str) -> None:
    assert time_in_script(line, "a.sh").clocks
    assert not time_in_script(f"{line.partition(';')[0]} >&2", "a.sh").clocks
