"""Locks, elections, queues and barriers: who holds, who waits, for how long, what looks wrong."""

from datetime import UTC, datetime
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.api.inside import Inside
from observability.index import recipes as indexed
from tenants import access, locks, sessions
from tenants.api.documented import documented
from tenants.api.views.base import Strict
from tenants.api.znodes import PathField
from tenants.holders import Card, Seat, card_of, weight
from tenants.locks import PARTICIPANTS_MAX, READ_AT_ONCE, SCANNED_MAX
from tenants.recipes import Recipe
from tenants.sessions import Session

ROWS: Final = 20


class SeatOut(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="of its znode")
    state = serializers.CharField(help_text="holds, waits, is in, is queued, is taken")
    says = serializers.CharField(help_text="its value, where it is text")
    session = serializers.CharField(help_text="empty: no session's")
    principal = serializers.CharField(help_text="of the session's client; empty: not known")
    node = serializers.CharField(help_text="where its session is connected; empty: not known")
    since = serializers.DateTimeField(allow_null=True)
    hint = serializers.CharField(help_text="what looks wrong; empty: nothing")


class RecipeOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    kind = serializers.CharField(help_text="lock, election, queue ...")
    made_by = serializers.CharField(help_text="the library whose names these are")
    note = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True, help_text="how many may hold it, if known")
    count = serializers.IntegerField(help_text="of all that take part")
    holders = SeatOut(many=True)
    waiters = SeatOut(many=True, help_text="in the order of their turns")
    others = SeatOut(many=True, help_text="members, and what is queued")
    unseen = serializers.IntegerField(help_text=f"beyond the {PARTICIPANTS_MAX} that are read")


class ScanOut(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="a scan is kept for a while: `again` makes it anew")
    looked_at = serializers.IntegerField(help_text=f"znodes; {SCANNED_MAX} at most")
    closed = serializers.IntegerField(help_text="that may not be read")
    is_all = serializers.BooleanField(help_text="false: a bound ended it; use `below`")
    by_index = serializers.IntegerField(help_text="known from the index of searches alone")


class LocksOut(serializers.Serializer[Any]):
    results = RecipeOut(many=True, help_text="of a page the weightiest first")
    next_after = serializers.CharField(allow_null=True, help_text="`after` of the next page")
    total = serializers.IntegerField(help_text="places that may be one, of all pages")
    scan = ScanOut(allow_null=True, help_text="null where `path` was asked for")


class LocksQuery(Strict):
    path = PathField(required=False)
    below = PathField(default="/")
    again = serializers.BooleanField(default=False, help_text="look through the tree anew")
    limit = serializers.IntegerField(min_value=1, max_value=READ_AT_ONCE, default=ROWS)
    after = PathField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        others = {"below", "again", "limit", "after"} & set(self.initial_data)
        if "path" in attrs and others:
            text = f"path is of one znode: leave out {', '.join(sorted(others))}"
            raise serializers.ValidationError({"path": [text]})
        return attrs


class Locks(Inside):
    @documented("Locks, elections, queues, with who holds and waits", query=LocksQuery,
                answer=LocksOut)  # fmt: skip
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(LocksQuery)
        if "path" in asked:
            cards = self.cards(locks.read_all(self.bridge(), [asked["path"]]))
            whole = {"results": cards, "next_after": None, "total": len(cards), "scan": None}
            return Response(LocksOut(whole).data)
        below = asked["below"]
        scan = locks.find(
            self.bridge(),
            self.key(),
            below,
            again=asked["again"],
            more=lambda: indexed.paths_of(self.scope(), below),
        )
        left = [path for path in scan.paths if path > asked.get("after", "")]
        paths = left[: asked["limit"]]
        recipes = sorted(locks.read_all(self.bridge(), paths), key=weight)
        found = {
            "results": self.cards(recipes),
            "next_after": paths[-1] if len(left) > len(paths) else None,
            "total": len(scan.paths),
            "scan": {
                "at": datetime.fromtimestamp(scan.at, UTC),
                "looked_at": scan.looked_at,
                "closed": scan.closed,
                "is_all": scan.is_all,
                "by_index": scan.by_index,
            },
        }
        return Response(LocksOut(found).data)

    def key(self) -> tuple[object, ...]:
        """Whose scan it is: a token may see less than its person."""
        if self.where is None:
            role = int(self.may("tree.change"))
        else:
            role = int(access.acting_role(self.user, self.where))
        return "api", self.ensemble.pk, self.kwargs.get("slug", ""), self.user.pk, role

    def cards(self, recipes: list[Recipe]) -> list[dict[str, object]]:
        by_id: dict[int, Session] = {}
        if recipes and (self.where is None or self.may("session.read")):
            by_id = sessions.of_ensemble(self.ensemble, self.where).by_id()
        of_tenant = self.where is not None
        return [
            told(card_of(one, by_id, of_tenant=of_tenant, most=PARTICIPANTS_MAX)) for one in recipes
        ]


def told(card: Card) -> dict[str, object]:
    recipe = card.recipe
    names = ("path", "kind", "made_by", "note", "limit", "count")
    return {
        **{name: getattr(recipe, name) for name in names},
        "holders": [seat(one) for one in card.holders],
        "waiters": [seat(one) for one in card.waiters],
        "others": [seat(one) for one in card.others],
        "unseen": card.unseen,
    }


def seat(one: Seat) -> dict[str, object]:
    return {
        "name": one.who.name,
        "state": one.who.state,
        "says": one.who.says,
        "session": one.id,
        "principal": "" if one.session is None else one.session.principal,
        "node": "" if one.session is None else one.session.node,
        "since": one.since,
        "hint": one.hint,
    }
