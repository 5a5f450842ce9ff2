"""Bars, spreads and verdicts.

A bar is held against the median. Where it lies between the quartiles, the figure alone does not decide,
and the verdict says so. A row whose conditions did not hold has no verdict: it is void, with the reasons.
"""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    limit: float
    at_least: bool              # else at most
    aim: float | None = None    # what would be better still
    unit: str = ""

    def holds(self, value, limit=None):
        limit = self.limit if limit is None else limit
        return value >= limit if self.at_least else value <= limit

    def __str__(self):
        aim = "" if self.aim is None else f", aim {self.aim:g}"
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{self.unit}{aim}"


def at_least(limit, **more):
    return Bar(limit, True, **more)


def at_most(limit, **more):
    return Bar(limit, False, **more)


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float
    values: tuple = ()

    @property
    def is_single(self):
        return self.low == self.high

    def __str__(self):
        if self.is_single:
            return f"{self.median:.2f}"
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def spread(values):
    """Median and quartiles; of a single value, that value."""
    values = tuple(values)
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], values)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, values)


def ratios(ours, others, value):
    """Of each pair, since neighbours in time share what else the machine was doing."""
    return spread(value(one) / max(value(other), 1e-9) for one, other in zip(ours, others))


def verdict(bar, judged, void):
    """`void`: reasons why the figure does not count."""
    if bar is None or judged is None:
        return f"void ({'; '.join(void)})" if void else "–"
    if void:
        return f"void ({'; '.join(void)})"
    met = bar.holds(judged.median)
    if judged.low < bar.limit < judged.high:
        return f"within the spread; the median {'meets' if met else 'misses'} it"
    if met and bar.aim is not None and bar.holds(judged.median, bar.aim):
        return "met, aim too"
    return "met" if met else "missed"
