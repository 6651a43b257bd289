"""The tests that `make test` leaves out for their time, all in one place; `make long` runs them.

Here belongs what says little more than a test of the same kind that stays: further cells of a
matrix, seeds that `make sim` runs as well, load as the release notes want it. Beginnings of ids.
"""

from typing import Final

LEARNER: Final = "tests/interop/test_ensembles.py::test_a_learner_catches_up"
SECURED: Final = "tests/interop/test_secured_ensembles.py::test_ours_and_apaches_prove_themselves"
SIM: Final = "tests/sim/test_ensemble.py::test_an_ensemble_survives"
KILLED: Final = "tests/tenants_app/test_publication_faults.py::test_F26_a_plane_that_is_killed"

LONG: Final = (
    # Peers: the roles and ways that are left stay covered by the others of the matrix.
    "tests/interop/test_ensembles.py::test_all_of_apaches_are_replaced_by_ours_and_back",
    f"{LEARNER}[DIFF-observer-ours_joins_theirs]",
    f"{LEARNER}[DIFF-observer-theirs_joins_ours]",
    f"{LEARNER}[DIFF-follower-theirs_joins_ours]",
    f"{LEARNER}[SNAP-observer-ours_joins_theirs]",
    f"{LEARNER}[SNAP-observer-theirs_joins_ours]",
    f"{LEARNER}[SNAP-follower-ours_joins_theirs]",
    f"{LEARNER}[SNAP to an empty disk-observer-theirs_joins_ours]",
    f"{LEARNER}[SNAP to an empty disk-follower-ours_joins_theirs]",
    f"{LEARNER}[SNAP to an empty disk-follower-theirs_joins_ours]",
    "tests/interop/test_ensembles.py::test_a_leader_that_logged_what_nobody_got_comes_back_by_TRUNC"
    "[theirs_joins_ours]",
    f"{SECURED}[leader-SASL]",
    f"{SECURED}[leader-TLS]",
    f"{SECURED}[follower-TLS]",
    f"{SECURED}[follower-TLS and SASL]",
    "tests/interop/test_java_ensembles.py::test_curators_exclusion_holds_while_leaders_are_killed"
    "[mutex",
    "tests/interop/test_apache_files.py::test_B1_data_goes_to_apaches_server_and_back_without_a_"
    "difference[gz]",
    "tests/interop/test_apache_files.py::test_B1_data_goes_to_apaches_server_and_back_without_a_"
    "difference[snappy]",
    # Seeds that `make sim` runs, too.
    "tests/sim/test_decay.py::test_a_quorum_of_quorums_decides",
    "tests/sim/test_decay.py::test_disks_forget",
    f"{SIM}[local",
    f"{SIM}[reconfig",
    f"{SIM}[walled",
    "tests/sim/test_shared.py::test_two_tenants_behind_the_wall",
    "tests/sim/test_bugs.py::test_a_known_bug_is_found[ensemble-a failed write passed over]",
    # The other disk, the other seed, the other point of the same way.
    "tests/chaos/test_chaos.py::test_F5_a_failing_sync_takes_one_member_out_and_nothing_with_it"
    "[a-followers-disk]",
    "tests/chaos/test_chaos.py::test_F9_a_full_disk_takes_one_member_out_until_there_is_room"
    "[a-followers-disk]",
    "tests/fuzz/test_frames.py::test_mutated_frames_harm_nobody[2]",
    "tests/faults/test_crashes.py::test_I9_F1_what_is_acknowledged_survives_kill_9_under_load[log",
    "tests/faults/test_crashes.py::test_I9_F1_what_is_acknowledged_survives_kill_9_under_load[server",
    # Go compiles its own library first, half a minute of a processor; no CI has it by our doing.
    "tests/console/plane/test_programs.py::test_a_program_of_the_page_works_and_ends_where_the_"
    "secret_is_wrong[hello.go]",
    # Curator speaks to the server in `tests/interop`, and its program is nearly Java's.
    "tests/console/plane/test_programs.py::test_a_program_of_the_page_works_and_ends_where_the_"
    "secret_is_wrong[HelloCurator.java]",
    # The other theme, and pages that are made of the same parts as those that are looked at.
    "tests/console/test_shell.py::test_axe_finds_nothing_serious[light]",
    "tests/console/test_accessibility.py::test_the_operators_pages",
    "tests/console/test_accessibility.py::test_what_is_made_and_done",
    # On PostgreSQL these run with `make test`.
    "tests/observability/test_collected_together.py",
    # Two consoles at once, for what `test_lockouts.py` shows in one process.
    "tests/console/test_lockouts_shared.py",
    # What `tests/test_up.py` does, once more from the console and from the plane.
    "tests/console/test_members_live.py::test_an_operator_adds_and_removes_an_observer",
    "tests/tenants_app/test_plane_of_up.py::test_a_tenant_is_in_force_on_all_nodes",
    f"{KILLED}_on_the_way_is_followed_by_one_that_ends_it[before-the-outc",
    f"{KILLED}_on_the_way_is_followed_by_one_that_ends_it[after-the-comm",
    f"{KILLED}_in_a_purge_is_followed_by_one_that_ends_it[before-the-outc",
    "tests/observability/test_changes_collected.py::test_a_tree_that_was_made_anew",
    "tests/observability/test_figures_collected.py::test_quiet_tenants_come_without",
    # Tables of the benchmarks: whoever changes a benchmark runs it.
    "tests/benchmarks/test_bench.py::test_a_quick_run_fills_its_table",
    "tests/benchmarks/test_nodes.py::test_a_quick_run_over_three_of_apaches_nodes",
)


def is_long(id: str) -> bool:
    return id.startswith(LONG)


def unknown(ids: list[str]) -> list[str]:
    """Beginnings that no test has any more."""
    return [beginning for beginning in LONG if not any(id.startswith(beginning) for id in ids)]
