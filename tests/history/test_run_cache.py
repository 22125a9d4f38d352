"""Tests of a run with a journal: what reporters hear is in the journal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nfrun.tables.output_files
from nfrun.core.events import Event, NodeCancelled, NodeFinished, NodeStarted, Outcome, OutputPublished, RunFinished
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import plan_of
from nfrun.engine.event_dispatch import EventDispatcher
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.runner import Runner
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.database import Database, read_journal
from nfrun.history.journal import RunHeader
from nfrun.history.work_dir import WorkDir
from nfrun.tables.store import TableStore

TABLE = pa.table({"n": [1, 2, 3]})


class Listener:
    """A reporter that notes for every event which nodes the journal had when the event came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[tuple[Event, set[str]]] = []
        self.changed = threading.Condition()

    def event(self, event: Event) -> None:
        with self.changed:
            self.heard.append((event, {finished.node for finished in read_journal(self.folder).finished}))
            self.changed.notify_all()

    def close(self) -> None:
        pass

    def until(self, kind: type[Event], node: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: node in self.nodes(kind), 10), self.heard

    def nodes(self, kind: type[Event]) -> list[str]:
        return [event.node for event, _ in self.heard if isinstance(event, kind) and hasattr(event, "node")]


class Trial:
    """A run of a -> b, and of c that needs a: every node hands on a table, on threads, with store and journal."""

    def __init__(self, path: Path) -> None:
        item = Input("a", OutputId("a"))
        specs = [
            NodeSpec("a", "sql", "a", (), {}, (), (), {}),
            NodeSpec("b", "sql", "b", (item,), {}, (), (), {}),
            NodeSpec("c", "sql", "c", (), {}, (), ("a",), {}),
        ]
        pipeline = Pipeline("p.yaml", str(path), "p", "", {}, {}, {spec.id: spec for spec in specs}, {})
        plan = plan_of(pipeline, slots=4)
        work = WorkDir(path / "work")
        folder = work.make_run_folder("1")
        header = RunHeader("1", "p.yaml", 1)
        options = {"fresh": True, "force": (), "keep": True, "fsync": False}
        self.cache = RunCache(pipeline, plan, Database(work, print), folder, header, **options, warn=print)
        self.listener = Listener(folder)
        self.dispatcher = EventDispatcher([self.listener], print, self.cache.gate)
        self.run = Runner(plan, self.dispatcher.emit)
        self.store = TableStore(
            folder,
            persistent=True,
            retained=plan.retained,
            on_published=self.run.output_published,
            on_error=self.run.abort,
        )

    def attempt(self, start: NodeStarted, cancel_token: Any, run_coroutine: Any) -> Outcome:
        ref = self.store.publish(OutputId(start.node), start.attempt, TABLE)
        return Outcome(start.node, start.attempt, outputs={ref.id: ref})

    def go(self) -> None:
        run_attempt = self.cache.with_cache(self.attempt, self.store, self.run.abort)
        self.run.go({"thread": lambda on_outcome: ThreadExecutor(run_attempt, on_outcome)}, self.store)
        self.dispatcher.close()
        self.store.close()


def test_an_end_is_reported_when_it_is_in_the_journal_and_all_else_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, write_file = threading.Event(), nfrun.tables.output_files.write_file

    def held(*arguments: Any, **options: Any) -> Any:
        assert go_on.wait(10)
        return write_file(*arguments, **options)

    monkeypatch.setattr(nfrun.tables.output_files, "write_file", held)
    trial = Trial(tmp_path)
    listener = trial.listener
    thread = threading.Thread(target=trial.go, daemon=True)
    thread.start()
    listener.until(NodeStarted, "b")
    listener.until(NodeStarted, "c")
    assert listener.nodes(NodeFinished) == []
    go_on.set()
    thread.join(10)
    ends = {event.node: recorded for event, recorded in listener.heard if isinstance(event, NodeFinished)}
    assert set(ends) == {"a", "b", "c"}
    assert all(node in recorded for node, recorded in ends.items())
    kinds = [type(event) for event, _ in listener.heard]
    assert kinds.index(NodeFinished) < kinds.index(OutputPublished)
    end, _ = listener.heard[-1]
    assert isinstance(end, RunFinished)
    assert (end.status, end.error) == ("ok", "")


def test_a_run_whose_output_cannot_be_written_reports_all_events_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nfrun.tables.output_files, "write_file", full)
    trial = Trial(tmp_path)
    trial.go()
    assert trial.listener.nodes(NodeFinished) == []
    assert "a" in trial.listener.nodes(NodeCancelled)
    end, recorded = trial.listener.heard[-1]
    assert isinstance(end, RunFinished)
    assert end.status == "failed"
    assert recorded == set()
