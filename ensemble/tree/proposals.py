"""What goes into preparing a transaction, and what comes out.

Source: storage.md section 3. `prepare.Preparer` turns a `WriteRequest` into a `Prepared`.
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from ensemble.tree.digest import Sums
from ensemble.tree.pending import ChangeRecord
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id
from ensemble.wire.requests import ReconfigRequest
from ensemble.wire.txns import Txn, TxnHeader, write_digest, write_txn_body, write_txn_header

TXN_BYTES_MAX_DEFAULT: Final = 2 * 0xFFFFF  # jute.maxbuffer + jute.maxbuffer.extrasize
EPHEMERAL_BYTES_MAX_DEFAULT: Final = 0xFFFFF


@final
class PrepareOptions:
    """Settings that decide what is refused (zoo.cfg names in docs/configuration.md)."""

    __slots__ = (
        "close_session_txn",
        "digest_enabled",
        "enforce_quota",
        "ephemeral_bytes_max",
        "extended_types",
        "reconfig_enabled",
        "txn_bytes_max",
    )

    def __init__(
        self,
        extended_types: bool = False,
        enforce_quota: bool = False,
        close_session_txn: bool = True,
        digest_enabled: bool = True,
        reconfig_enabled: bool = False,
        txn_bytes_max: int = TXN_BYTES_MAX_DEFAULT,
        ephemeral_bytes_max: int = EPHEMERAL_BYTES_MAX_DEFAULT,
    ) -> None:
        self.extended_types: Final = extended_types
        self.enforce_quota: Final = enforce_quota
        self.close_session_txn: Final = close_session_txn
        self.digest_enabled: Final = digest_enabled
        self.reconfig_enabled: Final = reconfig_enabled
        # A log record above it could not be read back, by us or by a peer (trust.md D2).
        self.txn_bytes_max: Final[i64] = txn_bytes_max
        # Path bytes of one session's ephemerals: their closeSession must fit too (trust.md C2).
        self.ephemeral_bytes_max: Final[i64] = ephemeral_bytes_max


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class WriteRequest:
    """A write as it arrives: who, with which identities, what. `body` stands at its body.

    `may_ephemeral` is False for a local session: its owner does not know it, and it owns nothing.
    """

    __slots__ = ("body", "cxid", "ids", "may_ephemeral", "op", "session_id")

    def __init__(
        self,
        session_id: i64,
        cxid: i64,
        op: i64,
        body: Reader,
        ids: list[Id],
        may_ephemeral: bool = True,
    ) -> None:
        self.session_id: Final = session_id
        self.cxid: Final = cxid
        self.op: Final = op
        self.body: Final = body
        self.ids: Final = ids
        self.may_ephemeral: Final = may_ephemeral


@final
@mypyc_attr(acyclic=True)
class Prepared:
    """A transaction ready to be logged and, once committed, applied as it is.

    `payload` is what the log and the quorum carry. `error` is what the client gets, 0 for success;
    for a failed multi it is 0, since its reply lists the failures. `digest` is the tree's digest
    after it, `touched` what the preparer holds pending for it.
    """

    __slots__ = ("digest", "error", "header", "payload", "sums", "touched", "txn")

    def __init__(
        self,
        header: TxnHeader,
        txn: Txn,
        error: i64,
        payload: bytes,
        digest: i64,
        touched: list[ChangeRecord],
        sums: Sums,
    ) -> None:
        self.header: Final = header
        self.txn: Final = txn
        self.error: Final = error
        self.payload: Final = payload
        self.digest: Final = digest
        self.touched: Final = touched
        self.sums: Final = sums


@mypyc_attr(allow_interpreted_subclasses=True)
class Reconfigurer:
    """Who knows what a reconfiguration needs to know: the leader of an ensemble."""

    def new_text(self, request: ReconfigRequest, zxid: i64) -> bytes:
        """The configuration that the request makes, its version `zxid`.

        Raises:
            KeeperError: it cannot be, or not now (client.md 11).
        """
        raise NotImplementedError


def encode(header: TxnHeader, txn: Txn, with_digest: bool, digest: i64) -> bytes:
    """A log record's payload. Error transactions carry no digest (storage.md 6.4)."""
    out = BytesWriter()
    write_txn_header(out, header)
    write_txn_body(out, header.type, txn)
    if with_digest and header.type != codes.OP_ERROR:
        write_digest(out, digest)
    return out.getvalue()
