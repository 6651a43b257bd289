"""Opens the admin port. Its library is loaded here: a server without the port does not pay."""

import logging
from typing import TYPE_CHECKING

from ensemble.errors import EnsembleError

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.node import Node

log = logging.getLogger("ensemble.node")


class AdminPortError(EnsembleError):
    """The admin port cannot be bound: a standalone server does not start without it."""


async def open_admin_port(node: "Node") -> "AdminPort | None":
    """Open it, where it is wanted.

    Raises:
        AdminPortError: it cannot be bound.
        ConfigError: a token file or a store that cannot be used.
    """
    options = node.config.admin
    if not options.enabled and not options.metrics_port:
        return None
    from ensemble.server.admin_port import AdminPort

    port = AdminPort(node)
    try:
        await port.start()
    except OSError as error:
        await port.stop()
        text = f"admin port {options.host}:{options.port}: {error}"
        if node.replica is None:
            raise AdminPortError(text) from None
        # Without this member the ensemble might have no quorum: as Apache's, it goes on.
        log.error("%s; this server goes on without it", text)
        return None
    log.info(
        "admin port %s://%s:%d%s",
        "http" if options.tls is None else "https",
        options.host,
        port.port,
        options.command_url,
    )
    return port
