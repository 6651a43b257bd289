"""SASL between servers: DIGEST-MD5 in frames of its own, before anything else is said.

Pure: bytes in, bytes out. Source: zab.md 8. The side that connects proves a user's password, and
the side that accepts proves that it knows it, too. MD5 is what the protocol prescribes; where the
network is not trusted, TLS belongs around it.
"""

import secrets
from typing import Final, final

from librt.strings import BytesWriter, read_i32_be, write_i32_be, write_i64_be

from ensemble.client.errors import AuthFailedError
from ensemble.client.sasl import DigestMd5Exchange
from ensemble.errors import ProtocolError
from ensemble.server.auth.sasl_digest_md5 import TOKEN_BYTES_MAX, DigestMd5, SaslFailed

MAGIC: Final = 0x5F2435013501EDCC
MAGIC_BYTES: Final = MAGIC.to_bytes(8, "big")
HEAD_BYTES: Final = 16  # magic, status, length of the token
IN_PROGRESS: Final = 0
SUCCESS: Final = 1
ERROR: Final = -1
REALM: Final = "zk-quorum-sasl-md5"
DIGEST_URI: Final = "zookeeper-quorum/zk-quorum-sasl-md5"


def frame(status: int, token: bytes) -> bytes:
    out = BytesWriter()
    write_i64_be(out, MAGIC)
    write_i32_be(out, status)
    write_i32_be(out, len(token))
    out.write(token)
    return out.getvalue()


@final
class Frames:
    """Received bytes as SASL frames; what follows the last one stays in `rest`."""

    def __init__(self) -> None:
        self.rest = b""

    def next_frame(self) -> tuple[int, bytes] | None:
        """Status and token, None where the frame is not all there.

        Raises:
            ProtocolError: no SASL frame, or a token above the bound.
        """
        rest = self.rest
        if not MAGIC_BYTES.startswith(rest[:8]):
            raise ProtocolError(f"SASL is expected, not {rest[:8].hex()}")
        if len(rest) < HEAD_BYTES:
            return None
        size = int(read_i32_be(rest, 12))
        if not -1 <= size <= TOKEN_BYTES_MAX:
            raise ProtocolError(f"a SASL token of {size} bytes, at most {TOKEN_BYTES_MAX}")
        end = HEAD_BYTES + max(0, size)
        if len(rest) < end:
            return None
        self.rest = rest[end:]
        return int(read_i32_be(rest, 8)), rest[HEAD_BYTES:end]


class SaslStage:
    """One side of an authentication. `feed` until `done`; `rest` is what came after it."""

    def __init__(self) -> None:
        self.done = False
        self.user = ""
        self.frames: Final = Frames()

    @property
    def rest(self) -> bytes:
        return self.frames.rest

    def first(self) -> bytes:
        """What this side sends before it has heard anything."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """Take what came in; what is to be sent.

        Raises:
            ProtocolError: the other side failed, or is none that speaks SASL.
        """
        self.frames.rest += data
        answer = b""
        while not self.done:
            found = self.frames.next_frame()
            if found is None:
                break
            answer += self.on_frame(found[0], found[1])
        return answer

    def on_frame(self, status: int, token: bytes) -> bytes:
        raise NotImplementedError


@final
class SaslInitiator(SaslStage):
    """The side that connects."""

    def __init__(self, user: str, password: str, cnonce: str = "") -> None:
        super().__init__()
        self.exchange: Final = DigestMd5Exchange(
            user, password, cnonce or secrets.token_urlsafe(30), DIGEST_URI, user
        )
        self.answered = False

    def first(self) -> bytes:
        return frame(IN_PROGRESS, b"")

    def on_frame(self, status: int, token: bytes) -> bytes:
        try:
            if status == ERROR:
                raise ProtocolError("the other server does not accept this server's SASL user")
            if not self.answered and status == IN_PROGRESS:
                self.answered = True
                return frame(IN_PROGRESS, self.exchange.respond(token))
            if not self.answered or status != SUCCESS:
                raise ProtocolError(f"SASL status {status} out of turn")
            self.exchange.verify(token)
        except AuthFailedError as error:
            raise ProtocolError(f"SASL: {error}") from None
        self.done = True
        return b""


@final
class SaslAcceptor(SaslStage):
    """The side that is connected to. `required` False lets those pass that do not begin with SASL.

    After an error the other side gets `refusal`, without the reason.
    """

    refusal: Final = frame(ERROR, b"")

    def __init__(self, users: dict[str, str], required: bool, nonce: str = "") -> None:
        super().__init__()
        self.required: Final = required
        self.exchange: Final = DigestMd5(
            nonce or secrets.token_urlsafe(30), users.get, REALM, DIGEST_URI
        )
        self.begun = False

    def feed(self, data: bytes) -> bytes:
        if not self.required and not self.begun:
            self.frames.rest += data
            rest = self.frames.rest
            if not MAGIC_BYTES.startswith(rest[:8]):
                self.done = True
                return b""
            if len(rest) < len(MAGIC_BYTES):
                return b""
            data = b""
        self.begun = True
        return super().feed(data)

    def on_frame(self, status: int, token: bytes) -> bytes:
        if status != IN_PROGRESS:
            raise ProtocolError(f"SASL status {status} from the side that connects")
        try:
            answer = self.exchange.step(token)
        except SaslFailed as error:
            raise ProtocolError(f"SASL: {error}") from None
        if self.exchange.user is None:
            return frame(IN_PROGRESS, answer)
        self.user = self.exchange.user
        self.done = True
        return frame(SUCCESS, answer)
