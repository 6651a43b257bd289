"""The plane's trail: one chain, whoever writes at once; and what breaks is found."""

from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection, transaction

from tenants.audit import PLANE, Actor, record, verify
from tenants.models import AuditEvent
from tests.tenants_app.databases import environment_of_fresh, manage, python

WRITERS, EACH = 6, 10
RACE = f"""
import threading, django
django.setup()
from django.db import connection, transaction
from tenants.audit import PLANE, record, verify
from tenants.models import AuditEvent
start = threading.Barrier({WRITERS})
failed = []
def write(number):
    start.wait()
    try:
        for turn in range({EACH}):
            with transaction.atomic():
                record(PLANE, "race.ran", target=f"{{number}}/{{turn}}")
    except Exception as error:
        failed.append(repr(error))
    finally:
        connection.close()
threads = [threading.Thread(target=write, args=[number]) for number in range({WRITERS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
assert not list(verify()), list(verify())
print(AuditEvent.objects.count(), AuditEvent.objects.values("previous").distinct().count())
"""


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain_from_the_first_row_on(tmp_path: Path) -> None:
    environment = environment_of_fresh(tmp_path)
    assert manage(environment, "migrate", "-v0").returncode == 0
    done = python(environment, "-c", RACE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(WRITERS * EACH)] * 2


@pytest.mark.django_db
def test_a_row_that_was_rolled_back_leaves_no_gap() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        record(PLANE, "never.was")
        raise RuntimeError
    record(Actor(AnonymousUser(), "form", "192.0.2.1"), "was", target="x" * 2_000)
    row = AuditEvent.objects.get()
    assert (row.seq, row.actor, len(row.target)) == (1, "", 1_000)
    assert not list(verify())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement", ["UPDATE tenants_auditevent SET actor = 'x'", "DELETE FROM tenants_auditevent"]
)
def test_the_database_itself_refuses_to_change_or_remove_a_row(statement: str) -> None:
    record(PLANE, "was")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)
    assert AuditEvent.objects.get().verb == "was"


@pytest.mark.django_db
def test_a_row_that_was_forged_is_named() -> None:
    for verb in ("first", "second", "third"):
        record(PLANE, verb)
    forged = AuditEvent.objects.get(seq=2)
    forged.pk, forged.seq = 4, 4
    forged.save(force_insert=True)
    assert [(fault.seq, fault.reason.split(":")[0]) for fault in verify()] == [
        (4, "does not continue the row before it"),
        (4, "was changed"),
    ]
