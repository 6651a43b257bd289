"""What was observed, as SQL keeps it. Collectors write it, nobody changes it."""

from observability.models.alerts import Alert, Delivery, Fact
from observability.models.history import Revision, Value
from observability.models.index import Znode
from observability.models.sources import Lease, Source
from observability.models.trail import Segment, Trail

__all__ = [
    "Alert",
    "Delivery",
    "Fact",
    "Lease",
    "Revision",
    "Segment",
    "Source",
    "Trail",
    "Value",
    "Znode",
]
