"""The audit journal of our observer under an Apache leader."""

import json
import time
from collections import Counter
from pathlib import Path

from ensemble.client import Client
from tests.ensembles import Ensemble, apache, ours
from tests.server.audits import entries, verified, wait_for
from tests.server.test_audit_ensemble import AS_SUPER, SETTINGS, creates, fill, journal_of


async def test_under_an_apache_leader_an_observer_journals_its_clients_and_commits_its_head(
    tmp_path: Path, classpath: str
) -> None:
    java = apache(classpath, "-Xmx256m", AS_SUPER)
    ensemble = Ensemble(tmp_path, [java, java, java], {"tickTime": 500}, observers=[ours(AS_SUPER)])
    observer = ensemble[4]
    observer.config.update(SETTINGS)
    with ensemble.start():
        ensemble.wait_serving(120)
        asked = fill(observer, "seen", 30)
        fill(ensemble[1], "unseen", 10)
        found = wait_for(journal_of(observer), lambda lines: len(creates(lines)) >= 30)
        assert Counter(creates(found)) == Counter(asked)
        deadline = time.monotonic() + 30
        async with Client(ensemble[1].address, auth=[("digest", b"super:test")]) as client:
            while not await client.exists("/zookeeper/audit/4"):
                assert time.monotonic() < deadline
            data, _ = await client.get("/zookeeper/audit/4")
        head = json.loads(data)
        by_seq = {e["seq"]: e for e in entries(journal_of(observer))}
        assert by_seq[head["seq"]]["hash"] == head["hash"]
        ensemble.stop()
        assert verified(journal_of(observer)).problems == []
