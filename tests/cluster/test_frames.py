"""Tests of writing frames into a pipe that nobody reads at the moment."""

from __future__ import annotations

import os

from nfrun.cluster.frames import MESSAGE, Frame, FrameWriter, read_frame


def test_what_a_pipe_does_not_take_is_written_later_and_in_order() -> None:
    reading, writing = os.pipe()
    writer = FrameWriter(writing)
    frames = [Frame(MESSAGE, str(number), "x" * 50_000) for number in range(10)]
    for frame in frames:
        writer.write(frame)  # more than any pipe holds
    with os.fdopen(reading, "rb") as stream:
        assert [read_frame(stream) for _ in frames] == frames
        writer.write(frames[0])
        assert read_frame(stream) == frames[0]
        writer.close()
        writer.close()
        writer.write(frames[0])
        assert read_frame(stream) is None


def test_a_pipe_that_nobody_reads_any_more_takes_all() -> None:
    reading, writing = os.pipe()
    writer = FrameWriter(writing)
    for _ in range(10):
        writer.write(Frame(MESSAGE, "x", "x" * 50_000))
    os.close(reading)
    writer.write(Frame(MESSAGE, "x", "x"))
    writer.close()
