"""Plans that lead to one accident often, for bugs that few seeds show otherwise.

Each takes the plan of a seed and narrows it to faults that other seeds have, too, among much else.
What they show is that the checkers see the mistake; how rare it is `make sim-bugs` does not say
then, and the table in docs/simulation.md names these.
"""

from tests.sim.faults import Plan


def broken_synchronizations(plan: Plan) -> Plan:
    """Learners come back among many proposals, and something breaks while they synchronize."""
    plan.kinds = {"broken_sync": 3, "crash": 1, "cut_message": 2}
    plan.gap_us, plan.think_us, plan.ops, plan.first_counter = 60_000, 1_000, 400, 0
    return plan


def sessions_that_expire(plan: Plan) -> Plan:
    """Servers stand still or are slow, and clients go elsewhere, for as long as sessions live."""
    plan.kinds = {"pause": 2, "slow_network": 2, "client_cut": 3}
    plan.session_ms, plan.gap_us, plan.ops, plan.first_counter = 800, 100_000, 500, 0
    return plan


def kills_before_power_cuts(plan: Plan) -> Plan:
    """Processes are killed, or their disks fail; then the power goes everywhere."""
    plan.kinds = {"crash": 4, "failing_disk": 4, "all_power": 3}
    plan.gap_us, plan.think_us, plan.ops, plan.first_counter = 60_000, 3_000, 500, 0
    plan.snap_count = 100_000
    return plan
