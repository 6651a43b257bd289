"""The AdminServer: ZooKeeper's commands over HTTP, our own, and /metrics for Prometheus.

Source: admin.md section 2. Every command stands in `admin_commands.COMMANDS`; who may run it is
decided here, by `admin_access`. Bound to loopback unless configured. Where Apache answers a wrong
method with 500 we answer 405, and `monitor` while not serving with 503 (admin.md section 6).
"""

import ssl
from typing import TYPE_CHECKING, Final, final

from aiohttp import web

from ensemble.server import four_letter, metrics
from ensemble.server.admin_access import ADVICE, AccessRules, Right
from ensemble.server.admin_backup import Backups
from ensemble.server.admin_commands import ALIASES, COMMANDS
from ensemble.server.admin_protocol import Access, BadQuery, Command, Need, reply
from ensemble.server.audit_routes import AuditRoutes
from ensemble.server.auth.providers import AuthRefused, Peer
from ensemble.server.feed_routes import FeedRoutes
from ensemble.server.paging import Scans, TooManyScans
from ensemble.server.session_commands import NOTE
from ensemble.server.tenant_metrics import Named, tenant_series
from ensemble.server.tls import server_context, subject_of
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.node import Node

STOP_TIMEOUT_S: Final = 2.0  # for answers on their way when the server stops
PERMISSIONS: Final = (
    codes.PERM_READ,
    codes.PERM_WRITE,
    codes.PERM_CREATE,
    codes.PERM_DELETE,
    codes.PERM_ADMIN,
)


@final
class AdminPort:
    """The HTTP listeners of one node."""

    def __init__(self, node: "Node") -> None:
        """Read the tokens.

        Raises:
            ConfigError: a token file that cannot be used.
        """
        self.node: Final = node
        self.backups: Final = Backups(node.config.admin.rate_limit_ms)
        self.rules: Final = AccessRules(node.config.access)
        self.scans: Final = Scans()
        self.named: Final = Named()
        self.runners: list[web.AppRunner] = []
        self.port = 0

    async def start(self) -> None:
        """Open the ports.

        Raises:
            OSError: an address cannot be bound.
        """
        options = self.node.config.admin
        url = options.command_url
        if options.enabled:
            app = web.Application()
            app.router.add_get(url, self.index)
            app.router.add_get(url + "/", self.index)
            app.router.add_get(url + "/{name}", self.run_get)
            app.router.add_post(url + "/{name}", self.run_post)
            app.router.add_get("/metrics", self.metrics)
            AuditRoutes(self).add(app)
            FeedRoutes(self).add(app)
            context = None
            if options.tls is not None:
                context = server_context(options.tls)
                app.on_response_prepare.append(demand_https)
            self.port = await self.listen(app, options.host, options.port, context)
        if options.metrics_port:
            app = web.Application()
            app.router.add_get("/metrics", self.metrics)
            await self.listen(app, options.metrics_host, options.metrics_port)

    async def listen(
        self, app: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> int:
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=STOP_TIMEOUT_S,
            keepalive_timeout=self.node.config.admin.idle_timeout_ms / 1_000,
        )
        await runner.setup()
        self.runners.append(runner)
        await web.TCPSite(runner, host, port, reuse_address=True, ssl_context=context).start()
        address = runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        for runner in self.runners:
            await runner.cleanup()

    # Handlers

    async def index(self, request: web.Request) -> web.Response:
        refused = self.refusal("index", request, Need.READ)
        if refused is not None:
            return refused
        url = self.node.config.admin.command_url
        lines = [f'<a href="{url}/{name}">{name}</a>\n<br/>\n' for name in sorted(COMMANDS)]
        return web.Response(text="".join(lines), content_type="text/html")

    async def metrics(self, request: web.Request) -> web.Response:
        refused = self.refusal("metrics", request, Need.READ)
        if refused is not None:
            return refused
        if not self.node.serving:
            return web.Response(status=503, text=four_letter.NOT_SERVING)
        try:
            async with self.scans:
                text = metrics.prometheus(self.node)
                text += await tenant_series(self.node, self.named)
        except TooManyScans as error:
            return web.Response(status=503, text=str(error))
        return web.Response(text=text, content_type="text/plain")

    async def run_get(self, request: web.Request) -> web.StreamResponse:
        return await self.run(request, "GET")

    async def run_post(self, request: web.Request) -> web.StreamResponse:
        return await self.run(request, "POST")

    async def run(self, request: web.Request, method: str) -> web.StreamResponse:
        if not request.secure:
            self.node.stats.insecure_admin += 1
        name = request.match_info["name"]
        command = COMMANDS.get(ALIASES.get(name, name))
        refused = self.refusal(name, request, Need.READ if command is None else command.need)
        if refused is not None:
            return refused
        if command is None:
            return reply(name, {}, f"Unknown command: {name}")
        if command.need in (Need.CONTROL, Need.GUARDED_CONTROL):
            response = await self.run_command(request, method, command)
            self.note(request, request.get(NOTE, command.name), response.status)
            return response
        return await self.run_command(request, method, command)

    def note(self, request: web.Request, name: str, status: int) -> None:
        """For the audit journal: what may change something, and what was refused."""
        audit = self.node.audit
        if audit is not None:
            subject = certificate_subject(request)
            who = f"x509:{subject}" if subject is not None else ""
            audit.tap.on_command(request.remote or "", who, name, status)

    async def run_command(
        self, request: web.Request, method: str, command: Command
    ) -> web.StreamResponse:
        """Run a command for somebody who has the right for it."""
        if method != command.method:
            raise web.HTTPMethodNotAllowed(method, [command.method])
        if command.access is not Access.ALWAYS and not self.node.serving:
            status = 503 if command.name == "monitor" else 200
            return reply(command.name, {}, four_letter.NOT_SERVING, status)
        if command.access is Access.ALL_ON_ROOT and not self.rules.configured:
            status, error = self.authorize(request)
            if error:
                return reply(command.name, {}, error, status)
        try:
            if command.handler is not None:
                return await command.handler(self, request)
            assert command.answer is not None
            return reply(command.name, command.answer(self.node, request), None)
        except BadQuery as error:
            return reply(command.name, {}, str(error), 400)

    # Who asks

    def refusal(self, name: str, request: web.Request, need: Need) -> web.Response | None:
        """The answer to somebody who lacks the right for it; None to one who has it.

        The same for every name that needs the same, so that nobody learns more by asking.
        """
        if need is Need.HEALTH:
            return None
        guarded = need is Need.GUARDED_READ or need is Need.GUARDED_CONTROL
        if not self.rules.configured:
            if not guarded:
                return None
            return reply(name, {}, f"this command needs a token: {ADVICE}", 401)
        refused = self.refused(name, request, need)
        if refused is not None:
            self.note(request, name, refused.status)
        return refused

    def refused(self, name: str, request: web.Request, need: Need) -> web.Response | None:
        """What `refusal` says where rights are configured."""
        wanted = Right.READ
        if need is Need.CONTROL or need is Need.GUARDED_CONTROL:
            wanted = Right.CONTROL
        authorization = request.headers.get("Authorization", "")
        right = self.rules.right_of(authorization, certificate_subject(request))
        if right >= wanted:
            return None
        if right is Right.READ:
            return reply(name, {}, "this token or certificate may read, not change", 403)
        if authorization:
            self.node.stats.auth_failures += 1
        refused = reply(
            name, {}, "a token is needed: Authorization: Bearer <token>, or a certificate", 401
        )
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def authorize(self, request: web.Request) -> tuple[int, str]:
        """(200, "") where the header's identities hold every permission on the root, bit by bit."""
        header = request.headers.get("Authorization", "")
        if not header:
            return 401, "Auth info is missing for the command"
        scheme, _, token = header.partition(" ")
        provider = self.node.door.providers.get(scheme)
        host = request.remote or ""  # of the connection; headers that name another are not believed
        subject = certificate_subject(request)
        if provider is None or " " in token.strip():
            return 401, "Not authenticated"
        try:
            ids = provider.authenticate(
                Peer(host, subject), token.strip().encode() if token else None
            )
        except AuthRefused:
            self.node.stats.auth_failures += 1
            return 401, "Not authenticated"
        ids = ids + self.node.door.identify(host, subject)
        root = self.node.tree.nodes[b"/"]
        for permission in PERMISSIONS:
            if not self.node.schemes.check(root.acl, permission, ids):
                return 403, "Not authorized"
        return 200, ""


def certificate_subject(request: web.Request) -> str | None:
    """Of the client's certificate, in RFC 2253 form; None where it has shown none."""
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    return None if tls is None else subject_of(tls)


async def demand_https(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Strict-Transport-Security"] = "max-age=86400"
