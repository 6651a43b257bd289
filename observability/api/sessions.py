"""Sessions: who is connected, what each holds and watches, and the end of one after a preview."""

from dataclasses import asdict
from typing import Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.api.inside import Inside
from tenants import session_end, sessions
from tenants.actions import sessions as actions
from tenants.api.documented import documented
from tenants.api.views.base import PAGE, PAGE_MAX, Strict
from tenants.api.znodes import PathField
from tenants.errors import ConflictError, InvalidError, UnavailableError
from tenants.session_order import QUERY_MAX, SORTS, STATES, ordered
from tenants.sessions import Session, Watcher

ID: Final = r"^0x[0-9a-f]{1,16}\Z"
ID_MAX: Final = 18
FIELDS: Final = (
    *("id", "tenant", "node", "address", "principal", "identities", "is_secure", "is_local"),
    *("timeout_ms", "expires_in_ms", "age_ms", "idle_ms", "ephemerals", "watches", "requests"),
    *("queue", "queue_oldest_ms", "avg_ms", "max_ms", "last_op"),
)


class WatchesOut(serializers.Serializer[Any]):
    of_data = serializers.ListField(child=serializers.CharField(), help_text="once, persistent ...")
    of_children = serializers.ListField(child=serializers.CharField())


class SessionOut(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="as a hexadecimal text")
    tenant = serializers.CharField(help_text="empty: none's")
    node = serializers.CharField(help_text="where it is connected; empty: nowhere, it ends soon")
    address = serializers.CharField()
    principal = serializers.CharField(help_text="who its client is; empty: nobody said")
    identities = serializers.ListField(child=serializers.CharField())
    is_secure = serializers.BooleanField(help_text="by TLS")
    is_local = serializers.BooleanField()
    timeout_ms = serializers.IntegerField()
    expires_in_ms = serializers.IntegerField(allow_null=True, help_text="null: not known")
    age_ms = serializers.IntegerField(help_text="of its connection")
    idle_ms = serializers.IntegerField(allow_null=True, help_text="since its last request")
    ephemerals = serializers.IntegerField()
    watches = serializers.IntegerField()
    requests = serializers.IntegerField()
    queue = serializers.IntegerField(help_text="requests that wait")
    queue_oldest_ms = serializers.FloatField()
    avg_ms = serializers.FloatField()
    max_ms = serializers.IntegerField()
    last_op = serializers.CharField()
    watching = WatchesOut(allow_null=True, help_text="how it watches the `path` asked for")


class SessionsOut(serializers.Serializer[Any]):
    results = SessionOut(many=True)
    next_after = serializers.CharField(allow_null=True, help_text="`after` of the next page")
    total = serializers.IntegerField(help_text="that fit, of all pages")
    is_all = serializers.BooleanField(help_text="false: nodes have more than were asked for")
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="which nodes did not answer, and what to do"
    )


class HeldOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    created_ms = serializers.IntegerField()
    size = serializers.IntegerField(help_text="bytes of the value")


class WatchOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    data = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]  # a field, not the property
    child = serializers.ListField(child=serializers.CharField())


class EffectOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    kind = serializers.CharField(help_text="lock, election, queue ...")
    text = serializers.CharField(help_text="what the session's end does to it")
    moves = serializers.BooleanField(help_text="somebody else gets it, or it becomes free")


class EndOut(serializers.Serializer[Any]):
    changes = EffectOut(many=True)
    problem = serializers.CharField(help_text="why recipes could not be read; empty: they were")


class OperationOut(serializers.Serializer[Any]):
    ago_ms = serializers.IntegerField()
    op = serializers.CharField()
    error = serializers.IntegerField(help_text="0: it was done")


class WholeSessionOut(SessionOut):
    operations = OperationOut(many=True, help_text="its last ones, the newest first")
    held = HeldOut(many=True, help_text="its ephemerals: what its end deletes; 1,000 at most")
    held_all = serializers.BooleanField()
    watched = WatchOut(many=True)
    watched_all = serializers.BooleanField()
    at_its_end = EndOut(help_text="what its end would do to locks, elections and queues")
    problems = serializers.ListField(child=serializers.CharField())


class EndedOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    ephemerals = serializers.IntegerField(help_text="that went with it")


class SessionsQuery(Strict):
    q = serializers.CharField(
        required=False, max_length=QUERY_MAX, help_text="in id, address, client, tenant, last_op"
    )
    node = serializers.CharField(required=False, max_length=100, help_text="connected there")
    state = serializers.ChoiceField(
        choices=list(STATES),
        required=False,
        help_text="; ".join(f"{key}: those that {words}" for key, (words, _) in STATES.items()),
    )
    path = PathField(required=False)
    sort = serializers.ChoiceField(choices=list(SORTS), default="id")
    limit = serializers.IntegerField(min_value=1, max_value=PAGE_MAX, default=PAGE)
    after = serializers.RegexField(
        ID, required=False, max_length=ID_MAX, help_text="a session: the page behind it"
    )


class EndQuery(Strict):
    confirm = serializers.CharField(
        max_length=40, help_text="the session's id once more: its ephemerals are deleted with it"
    )


class Sessions(Inside):
    @documented("Who is connected", query=SessionsQuery, answer=SessionsOut)
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(SessionsQuery)
        listing = sessions.of_ensemble(self.ensemble, self.where)
        watching: dict[int, Watcher] | None = None
        if "path" in asked:
            watching = sessions.watchers(self.ensemble, asked["path"], self.where)
        found = ordered(
            listing.sessions,
            text=asked.get("q", ""),
            node=asked.get("node", ""),
            state=asked.get("state", ""),
            sort=asked["sort"],
            watching=watching,
        )
        begin = begin_of(found, asked)
        page = found[begin : begin + asked["limit"]]
        is_last = begin + len(page) >= len(found)
        return Response(
            {
                "results": [told(one, (watching or {}).get(one.number)) for one in page],
                "next_after": None if is_last else page[-1].id,
                "total": len(found),
                "is_all": listing.is_all,
                "problems": list(listing.problems),
            }
        )


class SessionView(Inside):
    @documented(
        "A session: what it holds and watches, and what its end would do", answer=WholeSessionOut
    )
    def get(self, request: Request, session: str, **_: str) -> Response:
        check_id(session)
        found, problems = sessions.seek(self.ensemble, session, self.where)
        if found is None and problems:
            raise UnavailableError("; ".join(problems))
        if found is None:
            raise Http404(f"there is no session {session} here; it may have ended")
        detail = sessions.detail(self.ensemble, found, self.where)
        changes: list[session_end.Change] = []
        problem = "your role does not read znodes (znode.read)"
        if self.where is None or self.may("znode.read"):
            changes, problem = session_end.changes_of(self.bridge, detail)
        return Response(
            {
                **told(found, None),
                "operations": [
                    {"ago_ms": ago, "op": op, "error": error} for ago, op, error in found.operations
                ],
                "held": [asdict(one) for one in detail.held],
                "held_all": detail.held_all,
                "watched": [asdict(one) for one in detail.watches],
                "watched_all": detail.watches_all,
                "at_its_end": {
                    "changes": [
                        {
                            "path": one.recipe.path,
                            "kind": one.recipe.kind,
                            "text": one.text,
                            "moves": one.moves,
                        }
                        for one in changes
                    ],
                    "problem": problem,
                },
                "problems": list(detail.problems),
            }
        )

    @documented("Close a session", query=EndQuery, answer=EndedOut)
    def delete(self, request: Request, session: str, **_: str) -> Response:
        confirm = self.asked(EndQuery)["confirm"]
        check_id(session)
        if confirm.lower() != session:
            text = f"it is {confirm!r}, and the session is {session}: repeat the id to close it"
            raise InvalidError(text, field="confirm")
        held = actions.close(self.actor, ensemble=self.ensemble, session=session, tenant=self.where)
        return Response({"id": session, "ephemerals": held})


def check_id(session: str) -> None:
    """Raises Http404."""
    if not actions.SESSION.fullmatch(session):
        raise Http404(f"{session[:40]} is no session: 0x and hex digits")


def begin_of(found: list[Session], asked: dict[str, Any]) -> int:
    """Where the page begins.

    Raises:
        ConflictError: the session that it is to begin behind has gone, and with it the place.
    """
    if "after" not in asked:
        return 0
    number = int(asked["after"], 16)
    if asked["sort"] == "id":
        return next((at for at, one in enumerate(found) if one.number > number), len(found))
    for at, one in enumerate(found):
        if one.number == number:
            return at + 1
    raise ConflictError(
        f"{asked['after']} is not among them any more: begin without `after`, or sort by id",
        field="after",
    )


def told(one: Session, watcher: Watcher | None) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(one, name) for name in FIELDS}
    fields["watching"] = watcher and {
        "of_data": watcher.of_data,
        "of_children": watcher.of_children,
    }
    return fields
