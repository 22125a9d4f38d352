"""Defines budgets: how much of a resource a run has, what of a rate is due, and which numbered units are free."""

from __future__ import annotations

import heapq
import math
from collections import deque

from nfrun.core.values import frozen

_ROUNDING = 1e-9  # what sums of fractions may be off by

Held = tuple[tuple[int, float], ...]  # units of a budget by number, each with the share that is taken of it


@frozen
class Budget:
    """An amount of a resource.

    Running nodes take up to `amount` together: a number, or bytes if it `is_size`. With `per` it is a rate: attempts
    may take `amount` tokens in `per` seconds. `text` is what the file says, "" if that is not from the file.
    """

    amount: float
    text: str = ""
    is_size: bool = False
    per: float = 0.0

    @property
    def is_numbered(self) -> bool:
        """Whether its units have numbers, from 0 on."""
        return not self.per and not self.is_size and self.amount == int(self.amount)

    @property
    def most(self) -> float:
        """The most that one attempt can take. Of a rate below one token in its period, that is one."""
        return max(1.0, self.amount) if self.per and self.amount else self.amount


class Rate:
    """Hands out the tokens of one rate, evenly. Times are seconds.

    Token k is due k / rate seconds after the first. Who is late catches up, but in no second more tokens are handed out
    than the rate allows. A time in which nobody waits for tokens is not made up for.
    """

    def __init__(self, budget: Budget) -> None:
        self._spacing = budget.per / budget.amount if budget.amount else math.inf
        # The tokens of a second; of a rate below one in a second, one in the time that it takes.
        self._window_tokens = max(1, int(budget.amount / budget.per))
        self._window = self._window_tokens * budget.per / budget.amount if budget.amount else math.inf
        self._next = -math.inf  # when the next token is due
        self._waiting_since: float | None = None
        self._recent: deque[tuple[float, float]] = deque()  # times and tokens, of the last window
        self._used = 0.0  # the sum of these tokens

    def due_at(self, tokens: float) -> float:
        """Return when this many tokens may be handed out."""
        excess = self._used + min(tokens, self._window_tokens) - self._window_tokens
        at = self._next
        for time, taken in self._recent:
            if excess <= _ROUNDING:
                break
            excess -= taken
            at = max(at, time + self._window)
        return at

    def wait(self, now: float) -> None:
        """Record that tokens would be taken now if they were due."""
        if self._waiting_since is None:
            self._waiting_since = now

    def stop_waiting(self) -> None:
        """Record that no node waits for tokens."""
        self._waiting_since = None

    def take(self, now: float, tokens: float) -> None:
        """Hand out tokens, which must be due."""
        recent = self._recent
        while recent and recent[0][0] + self._window <= now:
            self._used -= recent.popleft()[1]
        recent.append((now, tokens))
        self._used += tokens
        wanted_at = now if self._waiting_since is None else self._waiting_since
        self._next = max(self._next, wanted_at) + tokens * self._spacing

    def move(self, at: float, now: float, tokens: float) -> None:
        """Count tokens that were handed out `at` a time as handed out now: what took them has waited until now."""
        recent = self._recent
        entry = next((k for k, taken in enumerate(recent) if taken == (at, tokens)), None)
        if entry is not None:
            del recent[entry]
        else:  # the window has moved on
            self._used += tokens
        recent.append((now, tokens))


class Units:
    """The numbered units of one budget. A node takes whole units, the lowest ones, and a fraction of one more."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._unused = 0  # the lowest number that was never taken
        self._returned: list[int] = []  # a heap of whole units below
        self._parts: dict[int, float] = {}  # what is free of units of which a fraction is taken

    def fits(self, amount: float) -> bool:
        """Whether the units for this amount are free."""
        whole, part = self._split(amount)
        free = self._count - self._unused + len(self._returned)
        return free >= whole and (
            not part or free > whole or any(left >= part - _ROUNDING for left in self._parts.values())
        )

    def take(self, amount: float) -> Held:
        """Take the units for this amount, which must fit. A fraction comes from the unit of which least is left."""
        whole, part = self._split(amount)
        held = [(self._take_whole(), 1.0) for _ in range(whole)]
        if part:
            enough = [(left, unit) for unit, left in self._parts.items() if left >= part - _ROUNDING]
            left, unit = min(enough) if enough else (1.0, self._take_whole())
            self._parts[unit] = left - part
            held.append((unit, part))
        return tuple(held)

    def give_back(self, held: Held) -> None:
        """Free units that were taken."""
        for unit, share in held:
            left = self._parts.pop(unit, 0.0) + share
            if left > 1 - _ROUNDING:
                heapq.heappush(self._returned, unit)
            else:
                self._parts[unit] = left

    def _take_whole(self) -> int:
        if self._returned:
            return heapq.heappop(self._returned)
        self._unused += 1
        return self._unused - 1

    @staticmethod
    def _split(amount: float) -> tuple[int, float]:
        """Return the whole units, and the fraction of one more."""
        whole = int(amount + _ROUNDING)
        return whole, amount - whole if amount - whole > _ROUNDING else 0.0
