"""Formats seconds, bytes and counts for people."""

from __future__ import annotations


def format_seconds(value: float) -> str:
    """Format seconds with about three significant digits: `85 us`, `3.4 ms`, `1.25 s`, `4 m 10 s`."""
    if value < 0.000_95:
        return f"{value * 1e6:.0f} us"
    if value < 0.095:
        return f"{value * 1e3:.1f} ms"
    if value < 0.999_5:
        return f"{value * 1e3:.0f} ms"
    if value < 99.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


def format_size(value: float) -> str:
    """Format a number of bytes in decimal units: `812 B`, `3.1 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_count(number: int, thing: str) -> str:
    """Format a count with its noun: `1 node`, `2 nodes`, `27,004 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
