"""Rules about the plane: whether it sees, whether its proofs hold, what people did with it."""

from typing import Final

from tenants.alerts.rule import Bound, Rule, Scope, Severity

RULES: Final = (
    Rule(
        name="collector-stopped",
        title="Nothing was collected or watched",
        scope=Scope.PLANE,
        severity=Severity.TICKET,
        hold_s=0,
        prometheus="EnsemblePlaneCollectorDown",
        bound=Bound(120, 30, 86_400, "s without a collector"),
        why="In this time no rule was looked at and no figures were taken. Journals and changes "
        "are fetched afterwards.",
        steps=(
            "Start `manage.py collect` (`ensemble up` does it), and look at its log.",
            "Watch it from outside: deploy/prometheus has the same rule, as who sleeps does not "
            "say so.",
        ),
    ),
    Rule(
        name="source-silent",
        title="A journal or the changes do not come",
        scope=Scope.NODE,
        severity=Severity.TICKET,
        hold_s=60,
        prometheus="EnsemblePlaneSourceSilent",
        bound=Bound(120, 30, 86_400, "s"),
        why="Who did what since then is not on the audit page yet. The node keeps it, as long as "
        "its own bounds allow.",
        steps=(
            "Is the node up, and is its token in the plane's folder the right one?",
            "What the node has removed before it was fetched stands as a gap in the trail.",
        ),
    ),
    Rule(
        name="collector-behind",
        title="The collector is behind",
        scope=Scope.NODE,
        severity=Severity.TICKET,
        hold_s=60,
        bound=Bound(30, 2, 86_400, "s between an event and its row"),
        why="Pages show what was, not what is.",
        steps=("Is the plane's disk or processor busy? One process collects for all ensembles.",),
    ),
    Rule(
        name="chain-broken",
        title="A journal's chain is broken",
        scope=Scope.NODE,
        severity=Severity.PAGE,
        hold_s=0,
        every_s=10,
        why="A line is missing, was moved or was changed after it was written, or the node has "
        "committed another hash (a fork): the trail is no proof from there on.",
        steps=(
            "Run `ensemble audit verify` on the node's journal folder: it names the line.",
            "Keep the folder and its backups; compare with what was collected (export).",
            "Acknowledge it with what you found: it stays, as the line does.",
        ),
    ),
    Rule(
        name="weighty-action",
        title="Somebody did something of weight",
        scope=Scope.PLANE,
        severity=Severity.NOTE,
        hold_s=0,
        bound=Bound(60, 5, 1_440, "minutes that it is shown"),
        every_s=15,
        why="A tenant was deleted or purged, an ensemble removed, an operator made or a policy "
        "applied.",
        steps=("If you do not know of it: ask who did it, and see the audit page for the rest.",),
    ),
)
