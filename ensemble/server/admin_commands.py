"""Every command of the admin port, with what it needs. A test walks this table (trust.md E10)."""

from typing import Final

from ensemble.server import (
    admin_backup,
    apache_commands,
    introspection,
    session_commands,
    tenant_views,
)
from ensemble.server.admin_protocol import Access, Command, Need

ALWAYS: Final = Access.ALWAYS
SERVING: Final = Access.SERVING
ALL_ON_ROOT: Final = Access.ALL_ON_ROOT
HEALTH: Final = Need.HEALTH
READ: Final = Need.READ
CONTROL: Final = Need.CONTROL
GUARDED: Final = Need.GUARDED_READ


def guarded(name: str, make: introspection.Handler) -> Command:
    """A command that needs the right to read, and works in slices."""
    return Command(name, SERVING, GUARDED, None, "GET", introspection.answered(name, make))


COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command("configuration", SERVING, READ, apache_commands.configuration),
        Command("connection_stat_reset", SERVING, CONTROL, apache_commands.connection_stat_reset),
        Command("connections", SERVING, READ, apache_commands.connections),
        Command("dirs", SERVING, READ, apache_commands.dirs),
        Command("dump", SERVING, READ, apache_commands.dump),
        Command("environment", ALWAYS, READ, apache_commands.environment),
        Command("get_trace_mask", ALWAYS, READ, apache_commands.get_trace_mask),
        Command("hash", SERVING, READ, apache_commands.hashes),
        Command("initial_configuration", SERVING, READ, apache_commands.initial_configuration),
        Command("is_read_only", SERVING, HEALTH, apache_commands.is_read_only),
        Command("last_snapshot", SERVING, READ, apache_commands.last_snapshot),
        Command("leader", SERVING, READ, apache_commands.leader),
        Command("monitor", SERVING, READ, apache_commands.monitor),
        Command("observer_connection_stat_reset", SERVING, CONTROL, apache_commands.nothing),
        Command("observers", SERVING, READ, apache_commands.observers),
        Command("restore", ALL_ON_ROOT, CONTROL, None, "POST", admin_backup.restore),
        Command("ruok", SERVING, HEALTH, apache_commands.nothing),
        Command("server_stats", SERVING, READ, apache_commands.server_stats),
        Command("set_trace_mask", ALWAYS, CONTROL, apache_commands.set_trace_mask),
        # It reads, but writes a file, and shows every value there is.
        Command("snapshot", ALL_ON_ROOT, CONTROL, None, "GET", admin_backup.snapshot),
        Command("stat_reset", SERVING, CONTROL, apache_commands.stat_reset),
        Command("stats", SERVING, READ, apache_commands.stats),
        Command("system_properties", ALWAYS, READ, apache_commands.system_properties),
        Command("voting_view", SERVING, READ, apache_commands.voting_view),
        Command("watch_summary", SERVING, READ, apache_commands.watch_summary),
        Command("watches", SERVING, READ, apache_commands.watches),
        Command("watches_by_path", SERVING, READ, apache_commands.watches_by_path),
        Command("zabstate", ALWAYS, READ, apache_commands.zabstate),
        # Ours: they tell of tenants and sessions, and never run without a right.
        Command(
            *("close_session", SERVING, Need.GUARDED_CONTROL, None, "POST"),
            handler=session_commands.close_session,
        ),
        Command("elections", ALWAYS, GUARDED, apache_commands.elections),
        guarded("ephemerals", introspection.ephemerals),
        guarded("locks", introspection.locks),
        guarded("session_watches", introspection.watches_of_session),
        guarded("sessions", introspection.sessions),
        guarded("slow", introspection.slow_requests),
        guarded("tenant", tenant_views.tenant),
        guarded("tenants", tenant_views.tenants),
        guarded("top", tenant_views.top),
        guarded("watched_paths", introspection.watches_on_paths),
    )
}
ALIASES: Final = {
    "conf": "configuration",
    "config": "configuration",
    "crst": "connection_stat_reset",
    "cons": "connections",
    "env": "environment",
    "envi": "environment",
    "gtmk": "get_trace_mask",
    "icfg": "initial_configuration",
    "isro": "is_read_only",
    "lsnp": "last_snapshot",
    "lead": "leader",
    "mntr": "monitor",
    "orst": "observer_connection_stat_reset",
    "obsr": "observers",
    "rest": "restore",
    "srvr": "server_stats",
    "stat": "stats",
    "stmk": "set_trace_mask",
    "srst": "stat_reset",
    "snap": "snapshot",
    "sysp": "system_properties",
    "wchc": "watches",
    "wchp": "watches_by_path",
    "wchs": "watch_summary",
}
