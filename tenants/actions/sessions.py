"""Ending a session: at the node where it is connected, else at any; one line of the trail."""

import re
from typing import Final

from tenants import audit, inside, sessions
from tenants.actions.base import action
from tenants.audit import Actor
from tenants.errors import ConflictError, InvalidError, UnavailableError
from tenants.keys import NoKeyError
from tenants.models import Ensemble, Tenant

SESSION: Final = re.compile(r"0x[0-9a-f]{1,16}")
GONE: Final = 404
BY_MAX: Final = 200  # what the node takes


@action
def close(actor: Actor, *, ensemble: Ensemble, session: str, tenant: Tenant | None = None) -> int:
    """Close a session; how many ephemerals went with it. `tenant`: only if it is that one's.

    Raises:
        InvalidError: that is no session's id.
        ConflictError: there is no such session any more (or it is somebody else's).
        UnavailableError: no node has done it, with the reason.
    """
    if not SESSION.fullmatch(session):
        raise InvalidError(f"{session[:40]!r} is no session: 0x and hex digits", field="session")
    if ensemble.kind == Ensemble.Kind.APACHE:
        raise InvalidError(f"{ensemble.name} is Apache's: its sessions end with their clients")
    found = sessions.find(ensemble, session, tenant)
    if found is not None and found.is_inner:
        raise InvalidError(f"{session} is the server's own: by it the node writes what is its own")
    nodes = inside.nodes_of(ensemble)
    if not nodes:
        raise UnavailableError(
            f"no admin port of {ensemble.name} is registered: sessions are closed through it"
        )
    first = "" if found is None else found.node
    nodes.sort(key=lambda node: node.name != first)
    params = {"session": session, "by": actor.name[:BY_MAX]}
    if tenant is not None:
        params["tenant"] = tenant.slug
    problems = []
    is_gone = False
    for node in nodes:
        try:
            answer = inside.change(ensemble, node, "close_session", **params)
        except NoKeyError as error:
            raise UnavailableError(f"{error}") from None
        if not answer.problem:
            held = sessions.whole(answer.said.get("ephemerals"))
            audit.record(
                actor,
                "session.close",
                tenant="" if tenant is None else tenant,
                ensemble=ensemble.name,
                target=session,
                detail={
                    "node": node.name,
                    "ephemerals": held,
                    "client": "" if found is None else found.who,
                    "from": "" if found is None else found.address,
                },
            )
            sessions.listings.clear()
            return held
        is_gone = is_gone or answer.status == GONE
        problems.append(f"{node.name}: {answer.problem}")
    if is_gone:
        raise ConflictError(f"{session} is no session any more: it has ended meanwhile")
    raise UnavailableError(f"{session} was not closed: {'; '.join(problems)}")
