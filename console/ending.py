"""The end of a web process, which nothing may hold up.

A page's thread hands each piece of its response to the event loop and waits for it. If the loop
ends in between (SIGTERM while a response is under way), the thread waits for ever, and Python waits
for the thread: the process would have to be killed. So the end itself has a time limit.
"""

import os
import sys
import threading
import time
from typing import Any, Final, cast

ENDS_WITHIN_S: Final = 3.0  # for sessions to be closed, from the end of the loop on


def limit_the_end() -> None:
    """From the end of Daphne's loop on, the process has ENDS_WITHIN_S. Nothing under others."""
    if "daphne.server" not in sys.modules:
        return
    from twisted.internet import reactor

    cast(Any, reactor).addSystemEventTrigger("after", "shutdown", begin_to_end)


def begin_to_end() -> None:
    threading.Thread(target=end, name="end", daemon=True).start()


def end() -> None:
    time.sleep(ENDS_WITHIN_S)
    os._exit(0)
