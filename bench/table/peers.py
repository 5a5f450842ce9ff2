"""Rows of other servers, on request only: the same load, the same floor, no bars."""

import os
import shutil
from pathlib import Path

import delivery
import memory
from bench import Row

PEER_PROGRAMS = {"ws": ("node", "/usr/share/nodejs/ws"),
                 "nchan": ("nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so")}
PEERS = tuple(PEER_PROGRAMS)


def missing(peer):
    """The first part of the peer that this machine lacks; empty if it is all there."""
    for part in PEER_PROGRAMS[peer]:
        if not (Path(part).exists() if os.path.isabs(part) else shutil.which(part)):
            return part
    return ""


def peer_rows(peer):
    def serve(bench):
        return lambda: bench.processes.serve_peer(peer)

    def idle(bench):
        return memory.idle(bench, "ws", f"WebSocket of {peer}", serve=serve(bench), bar=None)

    def fan_out(bench):
        return delivery.one_room(bench, "ws", f"WebSockets of {peer}", serve=serve(bench), bar=None)

    return {f"{peer}-memory": Row(idle, floor=False), f"{peer}-fan-out": Row(fan_out)}
