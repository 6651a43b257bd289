"""Pages of which a part is kept up to date by websocket.

What somebody may see of them, the table of pages says: each look is a request as that person.
"""

from typing import Final

from tenants.access import Standing

PART_HEADER: Final = "X-Part"
"""With a request for what is followed alone, without what stands around it."""

PART_ACTIONS: Final = {"follow": Standing.PERSON, "seen": Standing.PERSON}
"""What a message on the websocket of parts may ask for."""

PARTS: Final = {
    "overview": 1.0,
    "node": 1.0,
    "locks": 1.0,
    "tenant-locks": 1.0,
    "job": 0.5,
    "jobs": 2.0,
    "alerts": 2.0,
    "tenant-alerts": 2.0,
    "members": 2.0,
    "tenant": 2.0,
    "sessions": 2.0,
    "tenant-sessions": 2.0,
}
"""By route: how long between two looks at what there is to show, s."""
