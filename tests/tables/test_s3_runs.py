"""Local runs that go on from outputs in object storage: what they ask of it, and what they never write down."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.tables.places.folder import open_place
from tests.tables.moved_runs import move_outputs
from tests.tables.s3_server import KEYS, S3Server
from tests.tables.test_stored_runs import Here, Trial, digests

S3 = tuple[S3Server, str]


class S3Trial(Trial):
    def __init__(self, path: Path, here: Here, s3: S3) -> None:
        super().__init__(path, here)
        self.server, self.uri = s3
        self.first = self.run()
        self.objects = open_place(self.work.store_address(self.uri))
        self.addresses = move_outputs(self.work, self.objects)
        self.cache = path / "cache"
        self.forget_copies()

    def forget_copies(self) -> None:
        """Be a machine that has fetched nothing yet."""
        if self.cache.exists():
            self.cache.rename(self.cache.with_name(f"cache before {len(self.server.requests)}"))
        self.server.requests.clear()

    def asked(self) -> list[str]:
        """Return the requests since this was called before: the method, and the ending of the object."""
        found = [each.partition("?")[0] for each in self.server.requests]
        self.server.requests.clear()
        return sorted(f"{each.split()[0]} {each.rpartition('.')[2] if '.' in each else ''}".strip() for each in found)


@pytest.fixture
def trial(tmp_path: Path, here: Here, s3: S3) -> S3Trial:
    return S3Trial(tmp_path, here, s3)


def test_a_run_that_reuses_all_asks_for_what_it_shows_only(trial: S3Trial) -> None:
    document = trial.run()
    assert trial.ran == [] and digests(document) == digests(trial.first)
    assert trial.asked() == ["HEAD arrow", "HEAD bin"]


def test_a_node_that_runs_has_what_it_reads_fetched_once(trial: S3Trial) -> None:
    trial.run("-p", "plus=2")
    assert trial.ran == ["total"]
    read, looks = ["GET arrow", "GET bin", "GET tar"], ["HEAD arrow", "HEAD bin", "HEAD tar"]
    assert trial.asked() == sorted([*read, *looks, *looks])
    trial.run("-p", "plus=3")
    assert trial.ran == ["total"]
    assert trial.asked() == looks


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"another"])
def test_a_damaged_object_is_made_again_when_it_is_read(trial: S3Trial, data: bytes) -> None:
    """One of the same size is noticed when it is fetched."""
    key = next(found.name for found in trial.objects.names() if found.name.endswith(".bin"))
    with trial.objects._opened[0].open_output_stream(trial.objects._key(key)) as target:  # type: ignore[attr-defined]
        target.write(data)
    document = trial.run("-p", "plus=2")
    assert trial.ran == (["model", "total"])
    assert document["status"] == "ok"
    assert digests(document)["model"] == digests(trial.first)["model"]
    assert trial.objects.size(key) is None
    again = trial.run("-p", "plus=2")
    assert trial.ran == [] and digests(again) == digests(document)


def test_clean_removes_objects(trial: S3Trial) -> None:
    assert trial.clean() == "nothing to remove\n"
    trial.clean("--cache-size", "0")
    assert len([*trial.objects.names()]) == 2  # what the pipeline shows
    trial.clean("--all")
    assert [*trial.objects.names()] == []


def test_keys_are_nowhere(trial: S3Trial, tmp_path: Path) -> None:
    trial.run("-p", "plus=2")
    with trial.server.refusing_keys():
        trial.run("-p", "plus=3")
    assert "AWS Error ACCESS_DENIED" in trial.stderr
    shown = [trial.stderr, trial.here(trial.path, "show", "numbers", "--json").stdout]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert KEYS[key] not in "".join(shown)
        assert not any(KEYS[key].encode() in data for data in files)


def test_a_store_with_keys_in_its_address_is_refused_without_showing_them(trial: S3Trial) -> None:
    words = ("--executor", "dask", "--store", "s3://AKIA7:geheim@bucket/x")
    done = trial.here(trial.path, "run", "p.yaml", *words)
    assert done.returncode == 2
    assert "the store s3://***@bucket/x holds credentials" in done.stderr
    assert "geheim" not in done.stdout + done.stderr
    files = [path.read_bytes() for path in trial.path.rglob("*") if path.is_file()]
    assert not any(b"geheim" in data for data in files)
