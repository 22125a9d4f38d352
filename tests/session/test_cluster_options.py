"""Tests of the options that name a cluster and its store."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nfrun.cluster.base import is_local
from nfrun.core.errors import UsageError
from nfrun.nodes.sql import INSTALL
from nfrun.session import cluster_options
from nfrun.session.cluster_options import check_cluster, cluster_address, cluster_store
from nfrun.session.options import RunOptions, ValidateOptions

FILE = Path("p.yaml")


def refused(make: Any, option: str) -> str:
    with pytest.raises(UsageError) as error:
        make()
    assert error.value.option == option
    return str(error.value)


@pytest.mark.parametrize("option", ["address", "store"])
def test_options_of_a_cluster_need_one(option: str) -> None:
    value = {"address": "tcp://h:1", "store": "/s"}[option]
    for make in (
        lambda: RunOptions(FILE, **{option: value}),
        lambda: RunOptions(FILE, executor="process", **{option: value}),
        lambda: ValidateOptions([FILE], **{option: value}),
    ):
        assert refused(make, f"--{option}") == "it is for clusters: give --executor dask, too"


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", "h", "h:8786", "tcp//h:1", "tcp://h", "tcp://:1"),
        *("http://h:1", "tcp://h:x", "tcp://h:1/x", "tcp://a b:1", "tcp://h:65536"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    told = f"'{address}' is not the address of a scheduler, such as tcp://host:8786 or tls://host:8786"
    assert refused(lambda: RunOptions(FILE, executor="dask", address=address), "--address") == told
    if address:
        assert refused(lambda: cluster_address(None, {"NFRUN_ADDRESS": address}), "NFRUN_ADDRESS") == told


@pytest.mark.parametrize("address", ["tcp://h:1", "tls://a.b-c.d:65535", "tcp://[::1]:8786", "tcp://127.0.0.1:1"])
def test_addresses_come_from_the_option_or_else_from_the_environment(address: str) -> None:
    assert RunOptions(FILE, executor="dask", address=address).where.address == address
    assert cluster_address(address, {"NFRUN_ADDRESS": "tcp://other:1"}) == address
    assert cluster_address(None, {"NFRUN_ADDRESS": address}) == address
    assert cluster_address(None, {"NFRUN_ADDRESS": ""}) == cluster_address(None, {}) == ""


@pytest.mark.parametrize(
    ("address", "local"),
    [
        *(("", True), ("tcp://localhost:1", True), ("tcp://127.0.1.1:1", True), ("tls://[::1]:1", True)),
        *(("tcp://h:1", False), ("tcp://10.0.0.1:1", False), ("tcp://127.example.org:1", False)),
    ],
)
def test_only_workers_on_this_machine_need_no_store(address: str, local: bool) -> None:
    assert is_local(address) is local
    if local:
        assert cluster_store(None, {}, address, Path("/w/store")) == "/w/store"
    else:
        assert refused(lambda: cluster_store(None, {}, address, Path("/w/store")), "--store") == (
            f"the workers of {address} and this machine need a place for outputs that all of them see: "
            "a shared folder, or s3://bucket/folder (or set NFRUN_STORE)"
        )


def test_stores_are_absolute_paths_or_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert RunOptions(FILE, executor="dask", store="s").where.store == str(tmp_path / "s")
    assert RunOptions(FILE, executor="dask", store="s3://b/x").where.store == "s3://b/x"
    assert cluster_store(None, {"NFRUN_STORE": "s"}, "tcp://h:1", Path()) == str(tmp_path / "s")
    assert cluster_store("/a", {"NFRUN_STORE": "s"}, "tcp://h:1", Path()) == "/a"
    told = "an empty name is no store"
    assert refused(lambda: RunOptions(FILE, executor="dask", store=" "), "--store") == told
    assert refused(lambda: cluster_store(None, {"NFRUN_STORE": " "}, "", Path()), "NFRUN_STORE") == told


def test_without_dask_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_options, "find_spec", lambda name: None)
    told = "Dask is not installed: install it with: pip install 'distributed>=2024.1'"
    assert refused(lambda: check_cluster(RunOptions(FILE, executor="dask").where), "--executor") == told


def test_json_files_are_for_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_options, "find_spec", lambda name: object())
    options = RunOptions(FILE, executor="dask", handoff="json", fresh=True)
    told = "--handoff json is there to compare on one machine, and not for a cluster"
    assert refused(lambda: check_cluster(options.where, options.where.handoff), "--handoff") == told
    check_cluster(RunOptions(FILE, executor="dask", handoff="mmap").where, "mmap")


def test_messages_name_packages_as_the_extras_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """nfrun is on no index, so messages name the packages of an extra, and not the extra."""
    monkeypatch.setattr(cluster_options, "find_spec", lambda name: None)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    told = {
        "sql": INSTALL,
        "dask": refused(lambda: check_cluster(RunOptions(FILE, executor="dask").where), "--executor"),
    }
    for extra, text in told.items():
        assert f"pip install {' '.join(map(shlex.quote, project['optional-dependencies'][extra]))}" in text
