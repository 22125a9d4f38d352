"""Packs the files of a project for the workers of a cluster: a zip archive, named by the digest of its content."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import xxhash

from nfrun.core.errors import ClusterError
from nfrun.core.text import escape_controls
from nfrun.core.values import frozen

MOST_BYTES = 100_000_000
_NAMED = 3  # of the largest files, in the message
_STARTS_AT = (1980, 1, 1, 0, 0, 0)  # the earliest time that an archive can hold
_MODE = 16  # where an archive has the mode of a file, in bits


@frozen
class CodeFiles:
    """The files of a project. `root` is the folder above all of them, and `files` has their paths by name below it.

    A name that ends in a slash is that of an empty folder.
    """

    root: Path
    files: Mapping[str, Path]

    def pack(self, archive: Path) -> str:
        """Write the archive, and return its name in the store, which follows from names, modes and contents alone.

        Raises OSError, and ClusterError if a file cannot be read.
        """
        whole = xxhash.xxh3_128()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for name, path in self.files.items():
                try:
                    mode = path.stat().st_mode
                    data = b"" if name.endswith("/") else path.read_bytes()
                    whole.update(f"{name}\0{mode & stat.S_IXUSR}\0{len(data)}\0".encode())
                except (OSError, UnicodeEncodeError) as error:
                    why = (isinstance(error, OSError) and error.strerror) or "its name is not UTF-8"
                    raise ClusterError(escape_controls(f"cannot read {path}, which the cluster needs: {why}")) from None
                whole.update(data)
                info = zipfile.ZipInfo(name, _STARTS_AT)
                info.external_attr = mode << _MODE
                packed.writestr(info, data, zipfile.ZIP_DEFLATED)
        return f"code/{whole.hexdigest()}.zip"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder, with the modes of the files. Raises OSError, and BadZipFile of `zipfile`."""
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            path = packed.extract(info, folder)
            if mode := (info.external_attr >> _MODE) & 0o777:
                os.chmod(path, mode | stat.S_IRUSR | stat.S_IWUSR)  # noqa: PTH101


def find_code(
    folders: Sequence[Path],
    left_out: Collection[Path] = (),
    is_left_out: Callable[[Path], bool] = lambda folder: False,
) -> CodeFiles:
    """Find the files that travel, without hidden ones and virtual environments.

    The files are those in `folders`, but for the folders that are `left_out`; of the folders inside of `folders`
    `is_left_out` says more of them. Links are followed. Raises ClusterError if a folder itself is one of `left_out`,
    and if the files are too large together.
    """
    folders = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100  (a link stays one)
    real = {*map(os.path.realpath, left_out)}
    for folder in folders:
        if os.path.realpath(folder) in real:
            what = f"files of the pipeline are in {folder}, which is the work folder, too"
            raise ClusterError(f"{what}: a cluster needs another work folder (--work)")
    files = dict.fromkeys(path for folder in folders for path in _walk(folder, real, is_left_out))
    root = Path(os.path.commonpath(folders))
    named = dict(sorted({f"{path.relative_to(root)}{'/' * path.is_dir()}": path for path in files}.items()))
    _refuse_large(named)
    return CodeFiles(root, named)


def _walk(folder: Path, left_out: Collection[str], is_left_out: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the files below a folder, and the folders that have none."""
    for found, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(found)
        above = [os.path.realpath(path) for path in Path(found).parents if path.is_relative_to(folder)]
        is_loop = real in above  # a link to a folder around it
        if is_loop or real in left_out or "pyvenv.cfg" in names or (Path(found) != folder and is_left_out(Path(found))):
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__pycache__")
        paths = [Path(found, name) for name in names if not name.startswith(".") and not name.endswith(".pyc")]
        yield from [path for path in paths if path.is_file()]
        if not inner and not paths and Path(found) != folder:
            yield Path(found)


def _refuse_large(files: Mapping[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items() if not name.endswith("/") and path.exists()}
    total = sum(sizes.values())
    if total <= MOST_BYTES:
        return
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_NAMED]
    shown = ", ".join(f"{name} ({sizes[name] / 1e6:,.0f} MB)" for name in largest)
    raise ClusterError(
        f"the folder of the pipeline has {total / 1e6:,.0f} MB of files, and at most {MOST_BYTES / 1e6:,.0f} MB travel "
        f"to a cluster\n   the largest: {shown}\n   keep data elsewhere, and name it by a path or URI that workers see"
    )
