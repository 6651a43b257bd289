"""A record of the node as a line of the journal: names for numbers, everything escaped.

ASCII only: whatever a path or a name holds, no line break, no control character and nothing that
changes the direction of text can come out of it. Members without a value are left out.
"""

import time
from typing import Final, final

from ensemble.server import audit_records
from ensemble.server.audit_chain import quoted
from ensemble.server.audit_records import PATH_BYTES_MAX, Part, Record
from ensemble.wire import codes

OWN_NAMES: Final = {
    audit_records.START: "start",
    audit_records.STOP: "stop",
    audit_records.GAP: "gap",
    audit_records.REATTACH: "reattach",
    audit_records.COMMAND: "command",
}
NAMES_MAX: Final = 10_000  # addresses, tenants and principals that are kept encoded


@final
class LineMaker:
    """Makes lines, all but their number and hashes (`audit_chain.Chain.append`)."""

    def __init__(self, node: int) -> None:
        self.node: Final = node
        self.second = -1
        self.second_text = ""
        self.names: dict[bytes, str] = {}

    def event(self, record: Record) -> str:
        """What follows `"seq"` in the line of an operation."""
        op = int(record.op)
        name = OWN_NAMES.get(op) or codes.name_of_op(op)
        text = f'"n":{record.number},"time":"{self.time(int(record.time_ms))}","node":{self.node}'
        if record.session_id:
            text += f',"session":"0x{int(record.session_id) & 0xFFFFFFFFFFFFFFFF:x}"'
        if record.address:
            text += f',"address":{self.name(record.address)}'
        if record.tenant:
            text += f',"tenant":{self.name(record.tenant)}'
        if record.principal:
            text += f',"principal":{self.name(record.principal)}'
        text += f',"operation":"{name}"'
        parts = record.parts
        if op in (codes.OP_AUTH, codes.OP_SASL):
            text += f',"scheme":{shown(parts[0])}'
        elif op == audit_records.COMMAND:
            text += f',"command":{shown(parts[0])},"status":{record.error}'
            result = "Ok" if record.error < 400 else "refused"
            return f'{text},"result":"{result}"'
        elif len(parts) == 1 and op not in (codes.OP_MULTI, codes.OP_CLOSE_SESSION):
            asked = "asked" if record.flags & audit_records.ASKED else "path"
            text += f',"{asked}":{shown(parts[0])}'
        elif parts:
            asked = "asked_paths" if record.flags & audit_records.ASKED else "paths"
            listed = ",".join(
                f'{{"operation":"{codes.name_of_op(int(part.op))}","path":{shown(part)}}}'
                for part in parts
            )
            text += f',"{asked}":[{listed}]'
        if record.flags & audit_records.CONTINUED:
            text += ',"continued":true'
        error = int(record.error)
        result = "Unknown" if error == audit_records.UNKNOWN else codes.name_of_error(error)
        text += f',"result":"{result}"'
        if record.zxid:
            text += f',"zxid":"0x{int(record.zxid):x}"'
        return text

    def start(self, record: Record, run: str) -> str:
        """A run begins; writes after `zxid` that stand in no line before were not seen to end."""
        return f'{self.event(record)},"run":{quoted(run)}'

    def gap(
        self,
        number: int,
        number_to: int,
        zxid: int,
        zxid_to: int,
        reason: str,
        time_ms: int,
        run: str,
    ) -> str:
        """Records `number` to `number_to` are missing, among them those of these transactions."""
        text = (
            f'"n":{number},"n_to":{number_to},"time":"{self.time(time_ms)}","node":{self.node},'
            f'"operation":"gap","missing":{number_to - number + 1},"reason":{quoted(reason)},'
            f'"run":{quoted(run)}'
        )
        if zxid:
            text += f',"zxid":"0x{zxid:x}","zxid_to":"0x{zxid_to:x}"'
        return text

    def note(self, operation: str, reason: str, time_ms: int) -> str:
        """What happened to the journal itself."""
        return (
            f'"time":"{self.time(time_ms)}","node":{self.node},"operation":"{operation}",'
            f'"reason":{quoted(reason)}'
        )

    def time(self, time_ms: int) -> str:
        second, rest = divmod(time_ms, 1_000)
        if second != self.second:
            self.second = second
            self.second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self.second_text}.{rest:03d}Z"

    def name(self, raw: bytes) -> str:
        found = self.names.get(raw)
        if found is None:
            if len(self.names) >= NAMES_MAX:
                self.names.clear()
            found = quoted(raw.decode("utf-8", "backslashreplace"))
            self.names[raw] = found
        return found


def shown(part: Part) -> str:
    """A path as JSON; of one that was cut, how long it is."""
    path = quoted(part.path.decode("utf-8", "backslashreplace"))
    if part.size > PATH_BYTES_MAX:
        return f'{path[:-1]}… ({part.size} bytes)"'.replace("…", "\\u2026")
    return path
