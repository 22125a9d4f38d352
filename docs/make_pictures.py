"""Makes the pictures of the README and the documentation, in `docs/pictures/`, from real runs.

    pip install -e '.[test,examples]' && python docs/make_pictures.py

`live.svg` is the live view in the middle of a run of `pipelines/triage`. `report.png` and `report-dark.png` are the
page that `nfrun report` writes of a run of `pipelines/flights` on the whole year, as Chromium shows it. These two need
`chromium` and `chromedriver`.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURES = Path(__file__).parent / "pictures"
LIVE, REPORT = "triage/triage.yaml", "flights/flights.yaml"
COMMAND = [str(Path(sys.executable).parent / "nfrun")]
COLUMNS, ROWS = 96, 40
WINDOW = (1280, 960)  # pixels of the page
TRIES = 5  # runs, of which the shortest is shown: the one that other programs disturbed least
MOST_BYTES = 150_000  # of a picture


class Frame(NamedTuple):
    """What a terminal shows at one moment: lines that stay, and below them the rows of the live view."""

    lines: str
    view: str

    @property
    def is_under_way(self) -> bool:
        """Whether a node has computed some of its rows, and not all."""
        counts = re.findall(r"(\d+)/(\d+) rows", _plain(self.view))
        return any(0 < int(done) < int(rows) for done, rows in counts)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "pipelines", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".nfrun", "out"))
        live = [*COMMAND, "run", LIVE, "--fresh"]
        tries = [terminal_output(live, Path(folder)) for _ in range(1 + TRIES)]  # modules are compiled in the first run
        _, written = min(tries[1:])
        under_way = [frame for frame in frames(written) if frame.is_under_way]
        save("live.svg", live_picture(under_way[len(under_way) // 2]).encode())
        year = [sys.executable, "flights/make_data.py", "--full", "flights/out/year"]
        subprocess.run(year, cwd=folder, check=True)
        run = [*COMMAND, "run", REPORT, "-q", "-p", "source=out/year"]
        for _ in range(1 + TRIES):
            subprocess.run([*run, "--fresh"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        listed = subprocess.run(
            [*COMMAND, "runs", "--json", "--pipeline", REPORT], cwd=folder, check=True, stdout=subprocess.PIPE
        )
        least = min(json.loads(listed.stdout)["runs"], key=lambda run: run["wall_s"])
        page = Path(folder, "report.html")
        report = [*COMMAND, "report", "--pipeline", REPORT, "--run", str(least["number"]), "-o", str(page)]
        subprocess.run(report, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for name, picture in report_pictures(page, Path(folder, "profile")):
            save(name, picture)


def save(name: str, picture: bytes) -> None:
    """Write a picture. Raises ValueError if it is too large for a README."""
    if len(picture) > MOST_BYTES:
        raise ValueError(f"{name} has {len(picture):,} bytes, and may have {MOST_BYTES:,}")
    (PICTURES / name).write_bytes(picture)
    print(f"{name}: {len(picture):,} bytes")


def terminal_output(command: list[str], folder: Path) -> tuple[float, str]:
    """Run a command in a terminal of its own. Returns the seconds that it took, and all that it has written there."""
    began = time.monotonic()
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdin=side, stdout=side, stderr=side, start_new_session=True
    ) as process:
        os.close(side)
        written = b"".join(_chunks(terminal))
    os.close(terminal)
    if process.returncode:
        raise SystemExit(written.decode())
    return time.monotonic() - began, written.decode().replace("\r\n", "\n")


def _chunks(terminal: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(terminal, 65536):
            yield chunk
    except OSError:  # the last process that had the terminal has ended
        return


def frames(written: str) -> Iterator[Frame]:
    """Yield each frame that the live view has drawn.

    It draws lines and the rows of the view, and then moves the cursor up to the row above the view. There the next
    frame begins, which erases what is below.
    """
    lines = ""
    written = written.replace("\r\x1b[J", "").replace("\x1b[?25l", "")
    for drawn, up in re.findall(r"(.*?)\r\x1b\[(\d+)A", written, re.DOTALL):
        rows = drawn.split("\n")
        lines += "".join(f"{row}\n" for row in rows[: -int(up) - 1])
        yield Frame(lines, "\n".join(rows[-int(up) :]))


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def live_picture(frame: Frame) -> str:
    """Return a frame as SVG: a window of a terminal, which looks the same on light and dark pages."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    shown = f"\x1b[1m$ nfrun run {LIVE}\x1b[0m\n{frame.lines}\n{frame.view}"
    console.print(Text.from_ansi(shown), no_wrap=True, overflow="crop")
    svg = console.export_svg(title="nfrun", theme=DIMMED_MONOKAI, unique_id="nfrun")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # these would be loaded from the network


def report_pictures(page: Path, profile: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and the PNGs of a page of `nfrun report`, light and dark."""
    sys.path.insert(0, str(ROOT / "tests" / "lookback"))
    from base64 import b64decode

    from browser import Browser

    browser = Browser(profile)
    try:
        browser.size(*WINDOW)
        browser.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        for name, scheme in (("report.png", "light"), ("report-dark.png", "dark")):
            browser.media(prefers_color_scheme=scheme)
            browser.open(page)
            taken = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"optimizeForSpeed": False})
            yield name, b64decode(taken["data"])
    finally:
        browser.close()


if __name__ == "__main__":
    main()
