"""The row of what is counted, not timed (instructions.py)."""

import instructions
from bench import Line, Row
from judging import at_most, spread


def counts(_bench):
    costs = instructions.measure()

    def of(name):
        return costs[name].instructions

    def per(name, other):
        return spread([of(name) / of(other)])

    deliveries = " · ".join(f"{of(name):,.0f}" for name in
                            ("ws_delivery", "sse_delivery", "burst_delivery", "small_rooms_delivery"))
    two = per("two_reactors_delivery", "ws_delivery")
    many = per("publish_many_rooms", "publish_few_rooms")
    locked = abs(sum(costs["two_reactors_delivery"].locked.values()))
    message = sum(costs["two_reactors_message"].locked.values())
    return [
        Line("user instructions per delivery: WebSocket · SSE · burst of 8 · rooms of 5 with their share of the publish",
             deliveries, timed=False),
        Line("user instructions per publish · per WebSocket: accept, upgrade, subscribe",
             f"{of('publish'):,.0f} · {of('ws_connect'):,.0f}", timed=False),
        Line("user instructions per delivery, two reactors ÷ one", f"{of('two_reactors_delivery'):,.0f}",
             ratio=str(two), bar=at_most(1.05), judged=two, timed=False),
        Line("atomic operations per delivery, two reactors", f"{locked:.2f}; per message {message:.0f}",
             ratio=f"{locked:.2f}", bar=at_most(0.05), judged=spread([locked]), timed=False),
        Line("user instructions per publish, 20,000 rooms ÷ 100 rooms", f"{of('publish_many_rooms'):,.0f}",
             ratio=str(many), bar=at_most(1.02), judged=many, timed=False),
    ]


ROWS = {"instructions": Row(counts, floor=False)}
