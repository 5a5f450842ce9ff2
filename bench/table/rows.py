"""All rows, in the order of the table. A module of rows adds its line here."""

import connections
import counts
import delivery
import durable
import floor
import latency
import memory
import publish
import push_client
import push_delivery

ROWS = {}
for module in (floor, memory, delivery, publish, push_client, push_delivery, durable, latency, connections, counts):
    ROWS |= module.ROWS
