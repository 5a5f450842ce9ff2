"""All rows, in the order of the table. A module of rows adds its line here."""

import connections
import counts
import delivery
import durable
import floor
import latency
import memory
import publish

ROWS = {}
for module in (floor, memory, delivery, publish, durable, latency, connections, counts):
    ROWS |= module.ROWS
