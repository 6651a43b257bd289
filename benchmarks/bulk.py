"""Work on subtrees through jobs: znodes a second, and what collecting feels of it.

`python -m benchmarks.bulk`: one node, the collector and the console as `ensemble up` starts them.
Each operation is looked at, confirmed and waited for; meanwhile the age of the newest second of
figures is read every half second.
"""

import argparse
import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from ensemble.client import Client
from tests.ups import Up

AT_ONCE: Final = 500
VALUE: Final = b"x" * 100
WITHIN_S: Final = 600.0


def main() -> int:
    options = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder) / "var")
        try:
            up.start("--nodes", "1").wait_ready()
            asyncio.run(fill(up.address, options.znodes))
            os.environ["ENSEMBLE_VAR"] = str(up.folder)
            os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
            import django

            django.setup()
            measure(options.znodes)
        finally:
            up.clean_up()
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    made.add_argument("--znodes", type=int, default=20_000)
    return made


async def fill(address: str, count: int) -> None:
    """100 folders, and the rest evenly below them."""
    async with Client(address) as client:
        await client.create("/many", VALUE)
        await asyncio.gather(*(client.create(f"/many/{n}", VALUE) for n in range(100)))
        paths = [f"/many/{n % 100}/{n}" for n in range(count - 101)]
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            await asyncio.gather(*(client.create(path, VALUE) for path in part))


class Ages:
    """How old the newest second of figures is, again and again."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self) -> None:
        from observability.samples.table import ask

        while not self.over.wait(0.5):
            rows = ask("SELECT MAX(at) FROM observability_sample_1", ())
            if rows[0][0] is not None:
                self.seen.append(time.time() - rows[0][0])

    def said(self) -> str:
        self.over.set()
        self.thread.join()
        seen = sorted(self.seen) or [0.0]
        return f"figures {seen[len(seen) // 2]:.1f} s old, at worst {seen[-1]:.1f} s"


def measure(count: int) -> None:
    idle = Ages()
    time.sleep(10)
    print(f"nothing to do: {idle.said()}")
    for kind, path, parameters in (
        ("export", "/many", {"form": "json"}),
        ("export", "/many", {"form": "zip"}),
        ("duplicate", "/many", {"to": "/copy"}),
        ("move", "/copy", {"to": "/moved"}),
        ("acl", "/moved", {"how": "add", "acl": ["ip:10.0.0.1:r"]}),
        ("delete", "/moved", {}),
        ("undo", "/moved", {}),
    ):
        run(count, kind, path, parameters)


def run(count: int, kind: str, path: str, parameters: dict[str, Any]) -> None:
    from django.contrib.auth.models import User

    from tenants.actions import jobs
    from tenants.audit import Actor
    from tenants.models import Job

    actor = Actor(User.objects.get(username="admin"), "command")
    ages = Ages()
    began_s = time.monotonic()
    if kind == "undo":
        job = jobs.undo(actor, job=Job.objects.filter(kind="delete").latest("pk"))
    else:
        job = jobs.make(
            actor, kind=kind, where="tree", ensemble="main", path=path, parameters=parameters
        )
    looked_s = 0.0
    if kind != "export":
        wait(job, "ready")
        looked_s = time.monotonic() - began_s
        jobs.confirm(actor, job=job)
    began_s = time.monotonic()
    wait(job, "done")
    took_s = time.monotonic() - began_s
    job.refresh_from_db()
    assert job.refused == 0, job.errors[:3]
    dry = f"dry run {looked_s:.1f} s, " if looked_s else ""
    each = f"{job.done / took_s:,.0f} steps a second"
    print(f"{kind} {parameters}: {dry}{job.done:,} steps in {took_s:.1f} s, {each}; {ages.said()}")


def wait(job: Any, state: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        job.refresh_from_db()
        if job.state == state:
            return
        assert job.is_busy, f"{job.state}: {job.said}"
        assert time.monotonic() < deadline, job.state
        time.sleep(0.05)


if __name__ == "__main__":
    raise SystemExit(main())
