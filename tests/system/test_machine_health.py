"""Tests of what `nfrun doctor` says of the machine: control groups, cores, memory, limits, file systems, the clock."""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nfrun.core.health import NOTE, OK, PROBLEM
from nfrun.system import health, runtime
from nfrun.system.health import (
    check_bytecode,
    check_cores,
    check_disk,
    check_limits,
    check_memory,
    check_threads,
    try_folder,
)
from nfrun.system.mounts import Mount, mount_of
from nfrun.system.runtime import cpu_quota, memory_kills, memory_left, memory_limit, processes_left


def write(root: Path, **files: str) -> Path:
    """Write the files of a system below `root`. Underscores in pairs stand for slashes."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_limits_of_version_2_count_on_the_whole_way(tmp_path: Path) -> None:
    group = {"proc__self__cgroup": "0::/outer/inner\n"}
    of = "sys__fs__cgroup__outer__"
    write(tmp_path, **group, **{f"{of}cpu_dot_max": "150000 100000", f"{of}inner__cpu_dot_max": "max 100000"})
    write(tmp_path, **{f"{of}memory_dot_max": "max", f"{of}inner__memory_dot_max": "2000000000"})
    write(tmp_path, **{f"{of}inner__memory_dot_events": "low 0\noom 4\noom_kill 3\noom_group_kill 0\n"})
    write(tmp_path, **{f"{of}inner__pids_dot_max": "100", f"{of}inner__pids_dot_current": "60"})
    write(tmp_path, **{f"{of}inner__memory_dot_current": "900000000"})
    write(tmp_path, **{f"{of}inner__memory_dot_stat": "anon 1\ninactive_file 100000000\n"})
    found = [
        cpu_quota(str(tmp_path)),
        memory_limit(str(tmp_path)),
        memory_kills(str(tmp_path)),
        processes_left(str(tmp_path)),
    ]
    assert found == [1.5, 2_000_000_000, 3, 40]
    assert memory_left(str(tmp_path)) == 1_200_000_000


def test_limits_of_a_container_that_sees_the_path_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="1:name=systemd:/\n0::/docker/abc\n")
    write(tmp_path, sys__fs__cgroup__cpu_dot_max="250000 100000", sys__fs__cgroup__memory_dot_max="max")
    assert (cpu_quota(str(tmp_path)), memory_limit(str(tmp_path)), processes_left(str(tmp_path))) == (2.5, None, None)


@pytest.mark.parametrize("text", [None, "", "nonsense", "0::"])
def test_a_system_without_control_groups_has_no_limits(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        write(tmp_path, proc__self__cgroup=text)
    write(tmp_path, sys__fs__cgroup__x="")
    found = [
        cpu_quota(str(tmp_path)),
        memory_limit(str(tmp_path)),
        memory_left(str(tmp_path)),
        memory_kills(str(tmp_path)),
    ]
    assert found == [None, None, None, 0]


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (0.5, 1), (1.5, 2), (4.0, 4), (64.0, 8)])
def test_cores_are_at_most_those_of_the_container(
    quota: float | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert runtime.cores() == expected


def test_memory_is_at_most_that_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "memory_limit", lambda: 12_345)
    assert runtime.available_memory() == 12_345


def test_cores_are_told_with_what_takes_them_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"cores": 2, "allowed_cores": 4, "cpu_quota": 1.5}.items():
        monkeypatch.setattr(health, name, lambda value=value: value)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.14, 0, 0))
    found = check_cores(4)
    assert found.text == (
        "2 cores of 16, 4 nodes at once; the load is 3.1; this process may run on 4 (taskset, Slurm or a container's "
        "cpuset); its control group may use the time of 1.5 (docker --cpus, a CPU limit of Kubernetes)"
    )
    assert (found.level, found.facts["quota"]) == (OK, 1.5)
    monkeypatch.setattr(os, "getloadavg", lambda: (25.0, 0, 0))
    found = check_cores(4)
    assert (found.level, found.advice) == (
        NOTE,
        "other programs use the cores, and nodes wait for them: look with 'top'",
    )


def test_memory_that_is_short_or_was_exhausted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "available_memory", lambda: 8_000_000_000)
    monkeypatch.setattr(health, "memory_left", lambda: 500_000_000)
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\nMemAvailable:    400000 kB\n")
    advice = "or let fewer nodes run at once: -j, 'resources: {memory: …}'"
    found = check_memory(tmp_path / "meminfo")
    assert (found.level, found.text, found.advice) == (NOTE, "8.0 GB, 410 MB free", f"end other programs, {advice}")
    monkeypatch.setattr(health, "memory_left", lambda: None)
    monkeypatch.setattr(health, "memory_kills", lambda: 2)
    found = check_memory(tmp_path / "missing")
    text = "8.0 GB; the system has ended a process here because memory ran out (2 so far)"
    assert (found.level, found.text, found.advice) == (NOTE, text, f"give the container more memory, {advice}")


def test_limits_on_files_and_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 4096))
    found = check_limits()
    assert (found.level, found.text, found.advice) == (NOTE, "256 open files", "'ulimit -n 1024' allows more")
    monkeypatch.setattr(health, "processes_left", lambda: 7)
    found = check_limits()
    assert (found.level, found.text) == (PROBLEM, "256 open files, 7 more processes and threads")
    monkeypatch.setattr(health, "processes_left", lambda: None)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (resource.RLIM_INFINITY,) * 2)
    assert (check_limits().level, check_limits().text) == (OK, "any number of open files")


def test_threads_of_native_libraries() -> None:
    assert check_threads({"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "true"}).level == OK
    found = check_threads({"OMP_NUM_THREADS": "8,2", "MKL_NUM_THREADS": "x", "NUMEXPR_NUM_THREADS": "4"})
    assert (found.level, found.text, found.advice) == (
        NOTE,
        "OMP_NUM_THREADS=8,2, NUMEXPR_NUM_THREADS=4: so many native threads in each of the nodes that run at once",
        "unset them: a node that needs more says 'resources: {cpu: N}'",
    )


def test_modules_that_are_compiled_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.cache_from_source", lambda file: "/nowhere/x.pyc")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = "PYTHONDONTWRITEBYTECODE is set, and nothing is compiled: each start compiles all modules again"
    assert (check_bytecode().level, check_bytecode().text) == (NOTE, text)
    assert f"compile them once: {sys.executable} -m compileall -q " in check_bytecode().advice
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert check_bytecode().text.startswith("Python cannot write to ")


TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /mnt/a\\040b rw - nfs4 server:/x rw
31 22 0:26 / /mnt/a\\040b/c ro,nosuid - tmpfs tmpfs rw
a broken line
32 22 0:27 / /data rw - fuse.s3fs s3fs rw
33 22 0:28 / /data rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    {
        "/home/x": Mount("/", "ext4"),
        "/mnt/a b/x": Mount("/mnt/a b", "nfs4"),
        "/mnt/a b/c": Mount("/mnt/a b/c", "tmpfs"),
        "/mnt/a bc": Mount("/", "ext4"),
        "/data/x": Mount("/data", "overlay"),
    }.items(),
)
def test_the_file_system_of_a_path(path: str, expected: Mount, tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(TABLE)
    assert mount_of(Path(path), tmp_path / "mountinfo") == expected
    assert mount_of(Path(path), tmp_path / "missing") == Mount("/", "")


def test_kinds_of_file_systems() -> None:
    networks = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.gcsfuse", "lustre", "ceph")
    assert all(Mount("/", name).is_network for name in networks)
    assert not any(
        Mount("/", name).is_network for name in ("ext4", "xfs", "btrfs", "overlay", "apfs", "fuseblk", "zfs", "")
    )
    assert Mount("/", "tmpfs").is_memory and Mount("/", "overlay").is_layer


def of_type(tmp_path: Path, type: str) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 1:1 / / rw - {type} x rw\n")
    return table


def test_a_disk_is_told_by_its_type_and_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = SimpleNamespace(f_bavail=40, f_frsize=1_000_000_000, f_favail=5_000_000, f_files=6_000_000)
    monkeypatch.setattr(os, "statvfs", lambda folder: there)
    monkeypatch.setattr(health, "try_folder", lambda folder: (0.0002, ""))

    def level_and_advice(type: str = "ext4") -> tuple[str, str]:
        disk = check_disk(tmp_path, "the work folder", of_type(tmp_path, type))
        assert disk.text.startswith(f"{tmp_path} ({type}): ")
        return disk.level, disk.advice

    assert level_and_advice() == (OK, "")
    assert level_and_advice("nfs4") == (PROBLEM, "keep the runs on a local disk: --work DIR")
    memory = "it is memory: tables take it from the nodes, and are gone when the machine starts again"
    assert level_and_advice("tmpfs") == (NOTE, memory)
    layer = f"it goes with the container, and the next one runs all nodes: mount a volume at {tmp_path}"
    assert level_and_advice("overlay") == (NOTE, layer)
    monkeypatch.setattr(health, "try_folder", lambda folder: (0.02, ""))
    monkeypatch.setattr(health, "is_busy", lambda: True)
    assert level_and_advice() == (OK, "")
    monkeypatch.setattr(health, "is_busy", lambda: False)
    assert level_and_advice() == (NOTE, "each node waits for several files: keep the runs on a local disk: --work DIR")
    there.f_favail = 2_000
    assert level_and_advice()[0] == NOTE
    there.f_favail, there.f_bavail = 5_000_000, 0.3
    advice = "tables take at most a tenth of what is free, and nodes whose tables are gone run again"
    assert level_and_advice() == (NOTE, advice)
    there.f_bavail = 0.01
    advice = "make room: 'nfrun clean --cache-size 0' removes all tables that can be made again"
    assert level_and_advice() == (PROBLEM, advice)


def test_a_trial_of_a_folder_leaves_nothing_there(tmp_path: Path) -> None:
    found = try_folder(tmp_path)
    assert found[0] > 0 and found[1] == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_locks_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = of_type(tmp_path, "ext4")
    monkeypatch.setattr(fcntl, "flock", lambda file, kind: None)  # everybody gets it
    found = check_disk(tmp_path, "the work folder", table)
    what = "locks (two processes hold one at once) do not work there: runs may disturb each other"
    assert (found.level, found.text.partition("; ")[2]) == (PROBLEM, what)

    def refuse(file: object, kind: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert "locks (Function not implemented) do not work there" in check_disk(tmp_path, "x", table).text


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str, dir: Path) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(health.tempfile, "mkdtemp", refuse)
    found = check_disk(tmp_path, "the work folder", of_type(tmp_path, "ext4"))
    text = f"{tmp_path} (ext4): the work folder cannot be written there: Read-only file system"
    assert (found.level, found.text, found.advice) == (PROBLEM, text, "keep the runs on a local disk: --work DIR")


def test_this_machine_is_read_without_an_error() -> None:
    assert runtime.cores() >= 1 and runtime.available_memory() > 0
    assert (runtime.cpu_quota() or 1.0) > 0
    assert check_memory().level in (OK, NOTE)
