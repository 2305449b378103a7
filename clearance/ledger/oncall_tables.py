"""Which tables whoever is on call has in the ledger. Personal data: none."""

from sqlalchemy import Column, Integer, String, Table

from clearance.ledger.tables import UtcDateTime, metadata

# Whether somebody works on a lane: the last message that went through its queue to find out, and the last that came
# out of it, with how many were sent since. Guardians have a row of their own: the last look that one of them ended.
lane_heartbeats = Table(
    "lane_heartbeats",
    metadata,
    Column("lane", String(16), primary_key=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("unanswered", Integer, nullable=False, server_default="0"),
    Column("sent_at", UtcDateTime),
    Column("received_at", UtcDateTime),
    Column("process", String(256)),
)
