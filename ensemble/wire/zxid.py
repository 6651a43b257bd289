"""Transaction ids: a 64-bit number, the epoch in its upper half, a counter in its lower half."""

from typing import Final

COUNTER_MAX: Final = 0xFFFFFFFF


def make_zxid(epoch: int, counter: int) -> int:
    """The zxid of `counter` within `epoch`."""
    assert 0 <= counter <= COUNTER_MAX
    return (epoch << 32) | counter


def epoch_of(zxid: int) -> int:
    """The epoch, by arithmetic shift: -1 has epoch -1, as in ZooKeeper."""
    return zxid >> 32


def counter_of(zxid: int) -> int:
    """The counter within the epoch."""
    return zxid & COUNTER_MAX


def format_zxid(zxid: int) -> str:
    """`0x` and unpadded lower-case hex of the unsigned value, the form of logs and file names."""
    return f"{zxid & 0xFFFFFFFFFFFFFFFF:#x}"
