"""A proposal's bytes as a transaction, decoded once."""

from ensemble.errors import ProtocolError
from ensemble.wire.jute import MarshallingError
from ensemble.wire.txns import LoggedTxn, read_txn
from ensemble.wire.zxid import format_zxid
from ensemble.zab.host import Proposal


def decode(proposal: Proposal) -> LoggedTxn:
    """The transaction, which stays with the proposal.

    Raises:
        ProtocolError: it cannot be decoded, or carries another zxid.
    """
    try:
        logged = read_txn(proposal.payload)
    except MarshallingError as error:
        raise ProtocolError(
            f"the transaction {format_zxid(proposal.zxid)} cannot be decoded: {error}"
        ) from None
    if logged.header.zxid != proposal.zxid:
        raise ProtocolError(
            f"the transaction {format_zxid(proposal.zxid)} says that it is "
            f"{format_zxid(logged.header.zxid)}"
        )
    proposal.decoded = logged
    return logged
