"""The running `up`: starts what belongs together, looks after it, stops all of it.

One thread, one loop. Processes are looked at every fifth of a second, nodes are asked once a
second; a line is printed when something has changed.
"""

import asyncio
import importlib.util
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ensemble.client.acl import digest_id
from ensemble.up import folder as files
from ensemble.up.control import NodeReport
from ensemble.up.errors import RefusedError, StartError
from ensemble.up.folder import NodeFiles
from ensemble.up.operator import KEY_FILE, TRUSTED_FILE, kept_key, make_registry
from ensemble.up.ports import HOST, Wanted, check, is_open, next_free
from ensemble.up.process import ENDED, Process
from ensemble.up.status import SILENT, NodeStatus, Summary, look, summarize

START_TIMEOUT_S: Final = 60.0
OTHERS_WITHIN_S: Final = 5.0  # after the leader serves: whom the ready line still waits for
STARTS_WITHIN_S: Final = 3.0  # so long after its start a node's silence is no news
STOP_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.2
LOOK_EVERY_S: Final = 1.0
CLIENTS_NEWS_EVERY_S: Final = 10.0  # a line for nothing but another number of clients
WORDS_SHOWN: Final = 15  # lines of a log

PLANE: Final = ("console", "collector")  # the processes that are no nodes

# Of a node that will not run better the next time: configuration, folder, disk (docs/operations.md)
HOPELESS: Final = {2: "its configuration", 3: "its folder", 10: "its log or data"}


def say(text: str) -> None:
    """A line for the person at the terminal, if there still is one."""
    with suppress(OSError, ValueError):
        print(text, flush=True)


def news(text: str) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {text}")


class Supervisor:
    """All processes of one folder. `folder` is locked by the caller."""

    def __init__(self, folder: Path, nodes: list[NodeFiles], console_port: int) -> None:
        self.folder: Final = folder
        self.nodes: Final = {node.sid: node for node in nodes}
        self.console_port: Final = console_port  # 0: no console
        self.key: Final = kept_key(folder)  # the operator's
        self.processes: Final[dict[str, Process]] = {}
        self.statuses: dict[int, NodeStatus] = {}
        self.stopping: Final = asyncio.Event()
        self.asked_to_stop = 0
        self.is_ready = False
        self.leaving: Final[set[str]] = set()  # they end because we want them to
        self.changing: Final = asyncio.Lock()
        self.printed: Summary | None = None
        self.printed_s = 0.0

    # What runs

    def check_ports(self) -> None:
        """Raises StartError for the first port that cannot be had."""
        wanted = [
            Wanted(port, f"{purpose} of {node.name}", f"change it in {node.config_path}")
            for node in self.nodes.values()
            for purpose, port in node.ports().items()
        ]
        if self.console_port:
            wanted.append(Wanted(self.console_port, "the console", "choose another --console-port"))
        check(wanted)

    def node_process(self, node: NodeFiles) -> Process:
        user, password = files.kept_credential(self.folder)
        digest = digest_id(user, password).id or ""
        command = [
            *(sys.executable, "-m", "ensemble.server.main", "server"),
            f"-Dzookeeper.DigestAuthenticationProvider.superDigest={digest}",
            f"-Dzookeeper.ensemble.operator.keys={self.folder / TRUSTED_FILE}",
            *(f"-Dzookeeper.{key}={path}" for key, path in self.tokens().items()),
            *(["-Dzookeeper.ensemble.audit.journal=on"] if self.console_port else []),
            str(node.config_path),
        ]
        return Process(node.name, command, node.log_path, {})

    def tokens(self) -> dict[str, Path]:
        """The files of the admin ports' tokens; nodes and console may run in other folders."""
        return files.kept_tokens(self.folder.resolve())

    def token_file(self) -> Path:
        return self.folder.resolve() / files.READ_TOKEN_FILE

    def console_process(self) -> Process:
        """It prints the first password itself, on our terminal: no file holds it."""
        command = [sys.executable, "-m", "console.run", "--var", str(self.folder)]
        command += ["--port", str(self.console_port), "--zookeeper", self.hosts()]
        return Process(
            "console",
            command,
            self.folder / "console.log",
            self.plane_environment(),
            shares_output=True,
        )

    def plane_environment(self) -> dict[str, str]:
        """What every process of the admin plane is told: where the ensemble is, and its keys."""
        folder = self.folder.resolve()
        return {
            "ENSEMBLE_UP": str(self.folder),
            "ENSEMBLE_VAR": str(folder),
            "ENSEMBLE_ZOOKEEPER": self.hosts(),
            "ENSEMBLE_ADMIN_TOKEN": str(self.token_file()),
            "ENSEMBLE_ADMIN_CONTROL_TOKEN": str(self.tokens()[files.CONTROL_TOKENS]),
            "ENSEMBLE_OPERATOR_KEY": str(folder / KEY_FILE),
            "ENSEMBLE_NODES_FILE": str(folder / files.NODES_FILE),
        }

    def put_nodes(self) -> None:
        """Tell the plane which nodes there are: they change while it runs."""
        text = "".join(f"{node_text(node)}\n" for node in self.nodes.values())
        files.put_file(self.folder / files.NODES_FILE, text.encode())

    def collector_process(self) -> Process:
        """Brings what nodes measure and audit to the console; starts when its database is made."""
        command = [sys.executable, "-m", "django", "collect"]
        environment = {
            **self.plane_environment(),
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        return Process("collector", command, self.folder / "collector.log", environment)

    def hosts(self) -> str:
        """Where clients may connect: the voters, which stay."""
        voters = [node for node in self.nodes.values() if not node.is_observer]
        return ",".join(f"{HOST}:{node.client_port}" for node in voters)

    def start(self) -> None:
        """Raises StartError."""
        self.check_ports()
        if self.console_port:
            require_console()
        self.put_nodes()
        for node in self.nodes.values():
            self.launch(self.node_process(node))
        if self.console_port:
            self.launch(self.console_process())

    def launch(self, process: Process) -> None:
        try:
            process.start()
        except OSError as error:
            raise StartError(f"The {process.name} cannot be started: {error}.") from None
        self.processes[process.name] = process

    # Running

    async def run(self) -> int:
        """Until `stop`, or until no node is left; the exit status."""
        began_s = time.monotonic()
        tasks = [asyncio.create_task(self.watch())]
        try:
            await self.until_ready(began_s)
            if self.is_ready:
                tasks.append(asyncio.create_task(self.look_for_tenants()))
            while not self.stopping.is_set():
                self.look_after()
                for task in tasks:
                    if task.done():
                        task.result()  # a defect: not to be lost in a task that nobody awaits
                nodes = [p for p in self.processes.values() if p.name not in PLANE]
                if all(p.state == ENDED for p in nodes):
                    raise StartError("No node is left: see the lines above.")
                await self.pause(POLL_S)
            return 0
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def pause(self, seconds: float) -> None:
        """Sleep, unless it is time to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    async def until_ready(self, began_s: float) -> None:
        serving_s = 0.0
        while not self.stopping.is_set():
            self.look_after()
            now_s = time.monotonic()
            summary = summarize(list(self.nodes.values()), self.statuses)
            if summary.leader and not serving_s:
                serving_s = now_s
            all_serve = summary.serving == summary.nodes
            console_open = not self.console_port or is_open(self.console_port)
            if serving_s and (all_serve or now_s > serving_s + OTHERS_WITHIN_S) and console_open:
                self.is_ready = True
                if self.console_port:
                    self.launch(self.collector_process())
                self.welcome(now_s - began_s)
                return
            if now_s > began_s + START_TIMEOUT_S:
                late = "console" if serving_s else self.silent_node()
                raise StartError(
                    f"The {late} was not ready within {START_TIMEOUT_S:.0f} s.\n{self.tail(late)}"
                )
            await self.pause(POLL_S / 4)

    def silent_node(self) -> str:
        found = self.statuses
        silent = [n for n in self.nodes if found.get(n, NodeStatus(SILENT)).mode == SILENT]
        return self.nodes[min(silent or self.nodes)].name

    def welcome(self, took_s: float) -> None:
        say(f"\nEnsemble is ready after {took_s:.1f} s.\n")
        say(f"  ZooKeeper clients   {self.hosts()}")
        if self.console_port:
            say(f"  Console             http://{HOST}:{self.console_port}/")
        admin = [node for node in self.nodes.values() if node.admin_port]
        if admin:
            say(f"  Admin, {admin[0].name}        http://{HOST}:{admin[0].admin_port}/commands")
            say(f'                      curl -H "Authorization: Bearer $(cat {self.token_file()})"')
        say(f"\n  Data and logs in {self.folder}. Ctrl-C stops everything.\n")

    async def look_for_tenants(self) -> None:
        """Make the registry where there is none; the nodes serve whether that goes or not."""
        why = await make_registry(self.hosts(), self.key)
        if why:
            news(f"there is no registry of tenants, the next start tries again: {why}")
            return
        key = self.folder / KEY_FILE
        server = f"{HOST}:{next(iter(self.nodes.values())).client_port}"
        say("  A tenant, its credential is shown once:")
        say(f"    ensemble tenant -s {server} --key {key} create <name>\n")

    def look_after(self) -> None:
        """Notice who has ended, start again who is due."""
        for name, process in list(self.processes.items()):
            status = process.ended()
            if status is not None and name not in self.leaving:
                self.on_end(process, status)
            elif process.is_due():
                try:
                    process.start()
                except OSError as error:
                    pause_s = process.wait_to_restart()
                    news(f"{name} cannot be started ({error}); again in {pause_s:.0f} s")

    def on_end(self, process: Process, status: int) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        is_node = process.name not in PLANE
        if not self.is_ready and (not is_node or status in HOPELESS):
            raise StartError(f"The {process.name} {how}.\n{self.tail(process.name)}")
        if is_node and status in HOPELESS:
            news(
                f"{process.name} {how}: {HOPELESS[status]}. It is not started again; put it right "
                f"and restart `ensemble up`. It said: {process.last_words()}"
            )
            return
        pause_s = process.wait_to_restart()
        news(f"{process.name} {how}; it is started again in {pause_s:.0f} s")

    def tail(self, name: str) -> str:
        process = self.processes[name]
        words = process.last_words(WORDS_SHOWN)
        return "\n  ".join([f"The last lines of {process.log_path}:", *words.splitlines()])

    # Status

    async def watch(self) -> None:
        """Ask the nodes again and again; print what is new."""
        while True:
            nodes = list(self.nodes.values())
            self.statuses = await look(nodes)
            if self.is_ready and not self.somebody_starts():
                self.print_news(summarize(list(self.nodes.values()), self.statuses))
            await asyncio.sleep(LOOK_EVERY_S if self.is_ready else POLL_S / 2)

    def somebody_starts(self) -> bool:
        now_s = time.monotonic()
        return any(
            process.is_alive()
            and now_s < process.began_s + STARTS_WITHIN_S
            and not self.statuses.get(node.sid, NodeStatus(SILENT)).serves
            for node in self.nodes.values()
            if (process := self.processes.get(node.name)) is not None
        )

    def print_news(self, summary: Summary) -> None:
        before = self.printed
        now_s = time.monotonic()
        if before is not None and before.standing() == summary.standing():
            if before.clients == summary.clients:
                return
            if now_s < self.printed_s + CLIENTS_NEWS_EVERY_S:
                return
        self.printed, self.printed_s = summary, now_s
        news(summary.line())

    # Members

    def report(self, node: NodeFiles) -> NodeReport:
        process = self.processes.get(node.name)
        status = self.statuses.get(node.sid, NodeStatus(SILENT))
        return NodeReport(
            id=node.sid,
            role="observer" if node.is_observer else "voter",
            state=ENDED if process is None else process.state,
            mode=status.mode,
            zxid=status.zxid,
            clients=status.clients,
            starts=0 if process is None else process.starts,
            pid=process.pid if process is not None and process.is_alive() else 0,
            client_port=node.client_port,
            admin_port=node.admin_port,
        )

    def reports(self) -> list[NodeReport]:
        return [self.report(node) for node in self.nodes.values()]

    async def add_observer(self) -> NodeReport:
        """Make and start a further observer. The others need not know of it.

        Raises:
            RefusedError: the ensemble cannot have one, or no more.
        """
        async with self.changing:
            self.refuse_while_starting()
            voters = [node for node in self.nodes.values() if not node.is_observer]
            if len(voters) == 1:
                raise RefusedError(
                    "one node stands alone; an observer needs an ensemble: --nodes 3 or 5"
                )
            observers = len(self.nodes) - len(voters)
            if observers >= files.OBSERVERS_MAX:
                raise RefusedError(
                    f"there are {observers} observers, at most {files.OBSERVERS_MAX}"
                )
            sid = max(self.nodes) + 1
            if sid > files.SID_MAX:
                raise RefusedError(f"the next id would be {sid}, at most {files.SID_MAX}")
            try:
                node = self.plan_observer(sid)
                secret = files.kept_secret(self.folder)
                files.make(node, voters, secret, files.kept_settings(voters[0]))
                self.launch(self.node_process(node))
            except (StartError, OSError) as error:
                raise RefusedError(f"no observer could be made: {error}") from None
            self.nodes[sid] = node
            self.put_nodes()
            news(f"{node.name} is a new observer, clients on {HOST}:{node.client_port}")
            return self.report(node)

    def plan_observer(self, sid: int) -> NodeFiles:
        taken = {port for node in self.nodes.values() for port in node.ports().values()}
        taken.add(self.console_port)
        ports: dict[str, int] = {}
        for purpose in ("clients", "admin", "quorum", "election"):
            first = max(node.ports().get(purpose, 0) for node in self.nodes.values()) + 1
            ports[purpose] = next_free(first if first > 1 else 8_080, taken)
            taken.add(ports[purpose])
        place = self.folder / f"node{sid}"
        return NodeFiles(
            sid=sid,
            folder=place,
            data_dir=place / "data",
            client_port=ports["clients"],
            admin_port=ports["admin"],
            quorum_port=ports["quorum"],
            election_port=ports["election"],
            is_observer=True,
        )

    async def remove_observer(self, sid: int) -> None:
        """Stop an observer and remove its folder: a copy of what the voters hold.

        Raises:
            RefusedError: there is none with this id.
        """
        async with self.changing:
            self.refuse_while_starting()
            node = self.nodes.get(sid)
            if node is None:
                known = ", ".join(str(id) for id in self.nodes)
                raise RefusedError(f"there is no node {sid}; the nodes are {known}")
            if not node.is_observer:
                raise RefusedError(f"node {sid} is a voter; only observers can be removed")
            process = self.processes[node.name]
            self.leaving.add(node.name)
            await self.end([process])
            del self.processes[node.name]
            del self.nodes[sid]
            self.statuses.pop(sid, None)
            self.leaving.discard(node.name)
            self.put_nodes()
            files.discard(node)
            news(f"{node.name} is removed")

    def refuse_while_starting(self) -> None:
        if self.stopping.is_set() or not self.is_ready:
            raise RefusedError("`ensemble up` is starting or stopping: ask again later")

    # Stopping

    def stop(self) -> None:
        """Asked once: in order. Asked again: at once."""
        self.asked_to_stop += 1
        self.stopping.set()

    async def shut_down(self) -> None:
        """The plane first, so that it closes its sessions; then all nodes. Nothing is left."""
        await self.end(p for name, p in self.processes.items() if name in PLANE)
        await self.end(p for name, p in self.processes.items() if name not in PLANE)

    async def end(self, processes: Iterable[Process]) -> None:
        """Ask them to stop, wait, and kill who has not."""
        ending = list(processes)
        patience = max(2, self.asked_to_stop + 1)
        for process in ending:
            process.ask_to_stop()
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while any(process.is_alive() for process in ending):
            if time.monotonic() > deadline_s or self.asked_to_stop >= patience:
                break
            await asyncio.sleep(POLL_S / 10)
        for process in ending:
            if process.is_alive():
                process.kill()
                asked = "when asked twice" if self.asked_to_stop >= patience else "in time"
                say(f"{process.name} did not stop {asked} and was killed.")


def node_text(node: NodeFiles) -> str:
    """A node as the console reads it: name=client port=admin port."""
    admin = f"http://{HOST}:{node.admin_port}" if node.admin_port else ""
    return f"{node.name}={HOST}:{node.client_port}={admin}"


def require_console() -> None:
    """Raises StartError where its parts are not installed. Nothing of it is imported here."""
    missing = [m for m in ("console", "django", "daphne") if importlib.util.find_spec(m) is None]
    if missing:
        raise StartError(
            f"The console is not installed ({', '.join(missing)} cannot be found): install "
            "ensemble-zk[console], or start without it: --no-console."
        )


def lock(folder: Path) -> int:
    """Be the only `up` here; the descriptor is the lock.

    Raises:
        StartError: there is another one.
    """
    import fcntl

    descriptor = os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StartError(
            f"Another `ensemble up` works in {folder} (process {other}): stop it, or use "
            "another --dir."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
