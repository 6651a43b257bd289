"""One POST to an address that somebody else has chosen, and that must not lead into our network.

The name is resolved here and the connection is made to the address that was checked, so a name that
changes between the two leads nowhere. Redirects are answers, not ways. The other end has DEADLINE_S
in all, and of what it says ANSWER_BYTES_MAX are read.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from yarl import URL

DEADLINE_S: Final = 10.0
CONNECT_S: Final = 4.0
ANSWER_BYTES_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 64 << 10
SIGNATURE: Final = "Ensemble-Signature"
TAKEN: Final = range(200, 300)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RefusedError(Exception):
    """It was not taken. `is_final`: trying again would not help. The text is for people."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text[:300])
        self.is_final = is_final


def allowed_networks() -> list[Network]:
    """The setting ALERT_NETWORKS: networks of one's own that operators' channels may reach."""
    return [ipaddress.ip_network(text) for text in getattr(settings, "ALERT_NETWORKS", [])]


def may_reach(text: str, networks: Sequence[Network]) -> bool:
    """Whether an address is one of the internet, or of the networks that were allowed."""
    try:
        address: Address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    inner = inner_of(address)
    if any(address.version == one.version and address in one for one in networks):
        return True
    if inner is not None and not may_reach(str(inner), networks):
        return False
    return address.is_global and not address.is_multicast


NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def inner_of(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if address.version == 4:
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class GuardedResolver(AbstractResolver):
    """Resolves, and leaves out every address that may not be reached."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks: Final = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, address in found:
            if may_reach(str(address[0]), self.networks):
                results.append(
                    ResolveResult(
                        hostname=host,
                        host=str(address[0]),
                        port=port,
                        family=kind,
                        proto=protocol,
                        flags=socket.AI_NUMERICHOST,
                    )
                )
        if not results:
            raise OSError(f"{host} is of a private network: an operator can allow it")
        return results

    async def close(self) -> None:
        return None


def sign(secret: str, at_s: int, body: bytes) -> str:
    """What the header says: the time, and HMAC-SHA256 over time, a dot and the body."""
    mac = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"


async def post(url: str, body: Mapping[str, Any], secret: str, networks: Sequence[Network]) -> str:
    """What the other end said, in one line.

    Raises:
        RefusedError: it did not take it, or could not be reached.
    """
    raw = json.dumps(body, separators=(",", ":")).encode()
    if len(raw) > BODY_BYTES_MAX:
        raise RefusedError(f"the message has {len(raw)} bytes, {BODY_BYTES_MAX} at most",
                           is_final=True)  # fmt: skip
    check_literal(url, networks)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ensemble-alerts",
        "Ensemble-Message": str(body.get("id", "")),
        SIGNATURE: sign(secret, int(time.time()), raw),
    }
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S, connect=CONNECT_S)
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(networks), use_dns_cache=False)
    try:
        async with aiohttp.ClientSession(
            timeout=timeout,
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            async with session.post(
                url, data=raw, headers=headers, allow_redirects=False
            ) as answer:
                said = await answer.content.read(ANSWER_BYTES_MAX)
                return judge(answer.status, said)
    except TimeoutError:
        raise RefusedError(f"no answer within {DEADLINE_S:.0f} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise RefusedError(f"not reached: {str(error) or type(error).__name__}") from None


def check_literal(url: str, networks: Sequence[Network]) -> None:
    """An address in figures is resolved by nobody: it is checked here.

    Raises:
        RefusedError: it may not be reached.
    """
    try:
        host = URL(url).host or ""
    except ValueError as error:
        raise RefusedError(f"this is no address: {error}", is_final=True) from None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not may_reach(host, networks):
        raise RefusedError(f"{host} is of a private network: an operator can allow it")


def judge(status: int, said: bytes) -> str:
    text = said.decode("utf-8", "replace").strip().replace("\0", "")[:200]
    if status in TAKEN:
        return f"{status} {text}".strip()
    if 300 <= status < 400:
        raise RefusedError(f"{status}: redirects are not followed; give the address it leads to")
    raise RefusedError(f"{status} {text}")
