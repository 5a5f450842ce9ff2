"""What a row is made of: a line of the table, the runs behind it, and how figures are written."""

from dataclasses import dataclass, field

from judging import Bar, Spread

# More clients than one address has ports to spare for.
ADDRESSES = ("--source-addresses", "127.0.0.1,127.0.0.2,127.0.0.3")

# A floor that shows more than this is no floor: something else ran, or it was built without
# optimisation. Per delivery of a message to many, and per idle connection.
FLOOR_USER_US_MAX = 0.08
FLOOR_BYTES_MAX = 16

# How often the load generator looks whether the server is in user mode.
SAMPLES_PER_SECOND = 1000


@dataclass
class Line:
    what: str
    figure: str
    floor: str = "–"
    ratio: str = "–"
    bar: Bar | None = None
    judged: Spread | None = None        # what the bar is held against
    timed: bool = True                  # else what else the machine does changes nothing
    void: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """`run`: Bench to lines. With a `floor` the row counts only if the floor itself is sound."""
    run: object
    floor: bool = True


class Bench:
    """What a row needs: processes, how often, how large."""

    def __init__(self, processes, pairs, quick):
        self.processes = processes
        self.pairs = 1 if quick else pairs
        self.quick = quick

    def pick(self, full, quick):
        return quick if self.quick else full

    def gateway(self, **arguments):
        return self.processes.serve_gateway(**arguments)

    def floor(self, **arguments):
        return self.processes.serve_floor(**arguments)

    def load(self, server, *arguments, settle=None, connect_rate=5000, **options):
        settle = self.pick(0.5, 0.1) if settle is None else settle
        return self.processes.run_load(server, "--settle", settle, "--connect-rate", connect_rate,
                                       *ADDRESSES, *arguments, **options)

    def hold(self, server, *arguments, **options):
        return self.processes.hold_load(server, "--settle", self.pick(1, 0.2), "--connect-rate",
                                        5000, *ADDRESSES, *arguments, **options)

    def alternate(self, *sides):
        """Each side in turn, `pairs` times; the results of each side, in order."""
        results = [[] for _ in sides]
        for _ in range(self.pairs):
            for side, taken in zip(sides, results):
                taken.append(side())
        return results


def user_per_delivery(reports):
    """Microseconds over all runs together, with the standard error of counting samples."""
    user = sum(report["server"]["after"]["user_s"] - report["server"]["plateau"]["user_s"]
               for report in reports)
    deliveries = max(1, sum(report["messages"]["deliveries"] for report in reports))
    error = (max(user, 1 / SAMPLES_PER_SECOND) / SAMPLES_PER_SECOND) ** 0.5
    return Spread(user * 1e6 / deliveries, max(0, user - error) * 1e6 / deliveries,
                  (user + error) * 1e6 / deliveries,
                  tuple(report["server"]["user_us_per_delivery"] for report in reports))


def is_surely_above(sampled, limit):
    """By two standard errors: a floor is not called unsound by chance."""
    return sampled.median - 2 * (sampled.median - sampled.low) > limit


def thousands(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.{0 if value >= 1e5 else 1}f} k"


def milliseconds(histogram, *quantiles):
    return " · ".join(f"{histogram[name] / 1000:.2f}" for name in quantiles) + " ms"


def times(ours, floor, *quantiles):
    return " · ".join(f"{ours[name] / max(floor[name], 0.001):.2f}" for name in quantiles)
