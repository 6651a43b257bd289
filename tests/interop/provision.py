"""Makes a tenant for the checks in other languages: `python -m tests.interop.provision key hosts`.

Prints the token of its credential; nothing where the tenant is there already.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.errors import ProvisionError
from ensemble.admin.keys import OperatorKey, load_key
from ensemble.client import Client, ClientError

SLUG: Final = "guest"
TIMEOUT_S: Final = 30.0


async def make_tenant(key: OperatorKey, hosts: str, slug: str = SLUG) -> str:
    """The token of a new tenant's credential; empty where there is one of this name."""
    async with Client(hosts, timeout=10) as client:
        await client.add_auth("operator", key.sign("tests"))
        await provision.init(client, key.id, key.public)
        try:
            await provision.create(client, Draft(slug=slug, mode="enforce"))
        except ProvisionError:
            await provision.read(client, slug)
            return ""
        return (await provision.add_credential(client, slug, "app", "writer")).token


def main() -> None:
    key = load_key(Path(sys.argv[1]))
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            print(asyncio.run(make_tenant(key, sys.argv[2])))
            return
        except (ClientError, OSError):  # the servers are only starting
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
