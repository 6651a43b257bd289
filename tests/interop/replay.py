"""A captured conversation held again with another server: what is sent, what is compared.

The client's frames go out as captured, but for what only this server can have given: session ids,
passwords, SASL nonces. Of the answers everything is compared but session ids, passwords, clocks and
the order of sets; of texts (four-letter words) the shape, without their numbers.
"""

import hashlib
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

from ensemble.server.auth.passwords import ApachePasswords

STAT_OPS_AT_END = {4, 6, 12, 15, 16, 19, 21}
CONNECT_FRAMES = (44, 45)


SASL_PASSWORDS = {"bob": "bobsecret", "super": "adminsecret"}
NONCE = re.compile(rb'nonce="([^"]*)"')
RSPAUTH = b"rspauth="


class Wire:
    """One captured connection, replayed: its socket and the opcodes that await a reply."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ops: dict[int, list[int]] = {}
        self.connected = False
        self.text = False  # a four-letter word: no frames, an answer and the end
        self.nonce = ""  # of our server's SASL challenge
        self.proof = b""  # what our server must answer to the SASL response

    def read(self) -> bytes:
        """One frame with its length, the whole of a text, or b"" at the end of the stream."""
        if self.text:
            parts = []
            while part := self.exactly(1):
                parts.append(part)
            return b"".join(parts)
        head = self.exactly(4)
        if len(head) < 4:
            return b""
        return head + self.exactly(struct.unpack(">i", head)[0])

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError:
                return b""
            if not part:
                return b""
            data += part
        return data


class Replay:
    """The state of one conversation: which of our sessions stands for which captured one."""

    def __init__(
        self,
        connect: Callable[[str], socket.socket],
        before_another: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_another` is called before another connection than the last one is used."""
        self.connect = connect
        self.before_another = before_another
        self.label = ""
        self.wires: dict[str, Wire] = {}
        self.sessions: dict[int, tuple[int, bytes]] = {}
        self.names: dict[int, int] = {}  # our session id -> the captured one

    def send(self, item: dict[str, Any]) -> None:
        raw = bytes.fromhex(item["hex"])
        label = item["conn"]
        if label != self.label:
            self.label = label
            self.before_another()
        wire = self.wires.get(label)
        if not raw:
            if wire is not None:
                wire.sock.close()
                del self.wires[label]
            return
        if wire is None:
            wire = self.wires[label] = Wire(self.connect(label))
            wire.text = item["what"].startswith(("four-letter word", "raw bytes"))
        if wire.text:
            wire.sock.sendall(raw)
            if len(raw) < 4:
                wire.sock.shutdown(socket.SHUT_WR)  # a word cut short: the end comes instead
            return
        if not wire.connected and len(raw) - 4 in CONNECT_FRAMES:
            session_id = struct.unpack_from(">q", raw, 20)[0]
            if session_id in self.sessions:
                ours, password = self.sessions[session_id]
                sent = raw[32:48]
                # Only the right password is translated: a wrong one stays wrong.
                if sent == self.captured_password(session_id):
                    raw = raw[:20] + struct.pack(">q", ours) + raw[28:32] + password + raw[48:]
                else:
                    raw = raw[:20] + struct.pack(">q", ours) + raw[28:]
        elif len(raw) >= 12:
            xid, op = struct.unpack_from(">ii", raw, 4)
            wire.ops.setdefault(-2 if op == 11 else xid, []).append(op)
            if op == 102 and b"response=" in raw:
                raw = self.sasl_response(wire, raw)
        wire.connected = True
        try:
            wire.sock.sendall(raw)
        except OSError:
            pass

    def sasl_response(self, wire: Wire, raw: bytes) -> bytes:
        """A captured DIGEST-MD5 response, made anew for our server's nonce.

        Who knew the password knows it again; who did not, again does not.
        """
        token = raw[16:].decode()
        fields = {name: value.strip('"') for name, _, value in split_fields(token)}
        password = SASL_PASSWORDS.get(fields["username"], "")
        if digest_md5(fields, password, "AUTHENTICATE:") != fields["response"]:
            password = "another"
        old = (fields["nonce"], fields["response"])
        fields["nonce"] = wire.nonce
        wire.proof = RSPAUTH + digest_md5(fields, password, ":").encode()
        token = token.replace(old[0], wire.nonce)
        token = token.replace(old[1], digest_md5(fields, password, "AUTHENTICATE:"))
        payload = raw[4:12] + struct.pack(">i", len(token)) + token.encode()
        return struct.pack(">i", len(payload)) + payload

    def learn(self, wire: Wire, kind: list[str], captured: bytes, got: bytes) -> None:
        """Keep what later requests must carry: our session for the captured one, our nonce."""
        if kind[0] == "connect" and len(got) >= 40:
            ours = struct.unpack_from(">q", got, 12)[0]
            theirs = struct.unpack_from(">q", captured, 12)[0]
            self.sessions[theirs] = (ours, got[24:40])
            self.names[ours] = theirs
        challenge = NONCE.search(got)
        if kind == ["reply", "102"] and challenge:
            wire.nonce = challenge[1].decode()

    def captured_password(self, session_id: int) -> bytes:
        """The Java server's password for one of its session ids (client.md 3.4)."""
        return ApachePasswords().of(session_id)

    def normal(self, frame: bytes, wire: Wire | None, kind: list[str]) -> object:
        """A frame with everything that may differ taken out; `wire`: where ours came from."""
        captured = wire is None
        if not frame:
            return "closed"
        if kind[0] == "text":
            return text_form(frame.decode())
        body = frame[4:]
        if kind[0] == "connect":
            _, timeout, session_id, size = struct.unpack_from(">iiqi", body)
            return ("connect", timeout, session_id != 0, size, len(body))
        xid, zxid, err = struct.unpack_from(">iqi", body)
        rest = body[16:]
        if xid == -1:
            return ("event", zxid, rest)
        op = int(kind[1]) if len(kind) > 1 else 0
        if op == 102 and err == 0:
            proof = rest[4:]
            if proof.startswith(RSPAUTH) and (wire is None or proof == wire.proof):
                return (xid, zxid, "the right proof")
            rest = rest[:4] + NONCE.sub(b'nonce=""', proof)
        return (xid, zxid, err, self.normal_body(op, err, rest, captured))

    def normal_body(self, op: int, err: int, rest: bytes, captured: bool) -> object:
        if err and op not in (22,):
            return len(rest) if op == 102 else rest
        if op in (3, 5, 7) and len(rest) == 68:
            return self.normal_stat(rest, captured)
        if op in (8, 103):
            return names(rest, 0)[0]
        if op == 12:
            children, at = names(rest, 0)
            return children, self.normal_stat(rest[at:], captured)
        if op == 107:
            return sorted(pairs(rest))
        if op == 6:
            return sorted(acl_entries(rest)), self.normal_stat(rest[-68:], captured)
        if op in STAT_OPS_AT_END and len(rest) >= 68:
            return rest[:-68], self.normal_stat(rest[-68:], captured)
        if op in (14, 22):
            return self.normal_multi(rest, captured)
        return rest

    def normal_stat(self, raw: bytes, captured: bool) -> object:
        fields = list(struct.unpack(">qqqqiiiqiiq", raw))
        fields[2] = fields[2] > 0
        fields[3] = fields[3] > 0
        if not captured:
            fields[7] = self.names.get(fields[7], fields[7])
        return tuple(fields)

    def normal_multi(self, rest: bytes, captured: bool) -> object:
        found: list[object] = []
        at = 0
        while at < len(rest):
            op, done, err = struct.unpack_from(">ibi", rest, at)
            at += 9
            if done:
                break
            size = 0
            value: object = b""
            if op == -1:
                value = struct.unpack_from(">i", rest, at)[0]
                size = 4
            elif op in (1, 15):
                length = struct.unpack_from(">i", rest, at)[0]
                value = rest[at : at + 4 + length]
                size = 4 + length
            elif op == 4:
                length = max(0, struct.unpack_from(">i", rest, at)[0])
                value = rest[at : at + 4 + length]
                size = 4 + length
            elif op == 8:
                value, end = names(rest, at)
                size = end - at
            if op in (15, 5, 4):
                stat = self.normal_stat(rest[at + size : at + size + 68], captured)
                value = (value, stat)
                size += 68
            at += size
            found.append((op, err, value))
        return found, rest[at:]


def names(rest: bytes, at: int) -> tuple[list[bytes], int]:
    count = struct.unpack_from(">i", rest, at)[0]
    at += 4
    found: list[bytes] = []
    for _ in range(max(0, count)):
        size = struct.unpack_from(">i", rest, at)[0]
        found.append(rest[at + 4 : at + 4 + size])
        at += 4 + size
    return sorted(found), at


def pairs(rest: bytes) -> list[tuple[bytes, bytes]]:
    flat, at = [], 4
    while at < len(rest):
        size = struct.unpack_from(">i", rest, at)[0]
        flat.append(rest[at + 4 : at + 4 + max(0, size)])
        at += 4 + max(0, size)
    return list(zip(flat[::2], flat[1::2], strict=True))


def acl_entries(rest: bytes) -> list[tuple[int, bytes, bytes]]:
    count = struct.unpack_from(">i", rest, 0)[0]
    at = 4
    found = []
    for _ in range(max(0, count)):
        perms, size = struct.unpack_from(">ii", rest, at)
        scheme = rest[at + 8 : at + 8 + size]
        at += 8 + size
        size = struct.unpack_from(">i", rest, at)[0]
        found.append((perms, scheme, rest[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def kind_of(replay: Replay, item: dict[str, Any], first: bool, wanted: bytes) -> list[str]:
    """What an answer is: to the ConnectRequest, an event, or the reply to some opcode."""
    if not wanted:
        return ["closed"]
    if replay.wires[item["conn"]].text:
        return ["text"]
    if first:
        return ["connect"]
    xid = struct.unpack_from(">i", wanted, 4)[0]
    if xid == -1:
        return ["event"]
    ops = replay.wires[item["conn"]].ops.get(xid)
    return ["reply", str(ops.pop(0) if ops else 0)]


def split_fields(token: str) -> list[tuple[str, str, str]]:
    """`name=value,name="value"`; no captured value holds a comma."""
    return [field.partition("=") for field in token.split(",")]


def md5(text: bytes) -> "hashlib._Hash":
    return hashlib.md5(text, usedforsecurity=False)


def digest_md5(fields: dict[str, str], password: str, method: str) -> str:
    """RFC 2831 2.1.2.1, written down a second time: the server is not its own judge."""
    secret = md5(f"{fields['username']}:{fields['realm']}:{password}".encode()).digest()
    a1 = secret + f":{fields['nonce']}:{fields['cnonce']}".encode()
    if "authzid" in fields:
        a1 += f":{fields['authzid']}".encode()
    a2 = md5((method + fields["digest-uri"]).encode()).hexdigest()
    middle = ":".join(fields[name] for name in ("nonce", "nc", "cnonce", "qop"))
    return md5(f"{md5(a1).hexdigest()}:{middle}:{a2}".encode()).hexdigest()


def text_form(text: str) -> list[str]:
    """A text's lines without numbers, ids, versions and dates; connections in any order."""
    lines = []
    for line in text.splitlines(keepends=True):
        line = re.sub(r"(?<=Zookeeper version: ).*", "V", line)
        line = re.sub(r"(?<=expire at ).*(?=:\n)", "D", line)
        line = re.sub(r"0x[0-9a-f]+", "X", line)
        lines.append(re.sub(r"\d+(\.\d+)*", "N", line))
    peers = sorted(line for line in lines if line.startswith(" /"))
    return [peers.pop(0) if line.startswith(" /") else line for line in lines]
