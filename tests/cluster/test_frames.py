"""Tests of writing frames into a pipe that nobody reads at the moment."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from nfrun.cluster.frames import MESSAGE, Frame, FrameWriter, read_frame


def test_what_a_pipe_does_not_take_is_written_later_and_in_order() -> None:
    reading, writing = os.pipe()
    writer = FrameWriter(writing)
    frames = [Frame(MESSAGE, f"tök{number}", "x\n\0" * 20_000) for number in range(10)]
    for frame in frames:
        writer.write(frame)  # more than any pipe holds
    with Connection(reading, writable=False) as pipe:
        assert [read_frame(pipe) for _ in frames] == frames
        writer.write(frames[0])
        assert read_frame(pipe) == frames[0]
        writer.close()
        writer.close()
        writer.write(frames[0])
        assert read_frame(pipe) is None


def test_a_pipe_that_nobody_reads_any_more_takes_all() -> None:
    reading, writing = os.pipe()
    writer = FrameWriter(writing)
    for _ in range(10):
        writer.write(Frame(MESSAGE, "x", "x" * 50_000))
    os.close(reading)
    writer.write(Frame(MESSAGE, "x", "x"))
    writer.close()


def test_the_end_of_a_pipe_may_be_in_the_middle_of_a_frame() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\0\0\0\x09end")
    os.close(writing)
    with Connection(reading, writable=False) as pipe:
        assert read_frame(pipe) is None
