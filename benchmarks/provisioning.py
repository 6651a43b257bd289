"""Tenants for measurements, made as an operator makes them."""

import asyncio
from pathlib import Path
from typing import Final

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.keys import OperatorKey, make_key
from ensemble.client import Client

TIMEOUT_S: Final = 60


def trusted_key(folder: Path) -> tuple[OperatorKey, str]:
    """A new operator's key, and the flag by which a server trusts it."""
    folder.mkdir(parents=True, exist_ok=True)
    key = make_key("bench")
    path = folder / "operator.keys"
    path.write_text(key.line + "\n")
    return key, f"-Densemble.operator.keys={path}"


def tenants_at(port: int, key: OperatorKey, drafts: list[Draft]) -> dict[str, str]:
    """Make the tenants; of each, by slug, what its clients present for scheme `tenant`."""
    return asyncio.run(make(port, key, drafts))


async def make(port: int, key: OperatorKey, drafts: list[Draft]) -> dict[str, str]:
    tokens: dict[str, str] = {}
    async with Client(f"127.0.0.1:{port}", timeout=TIMEOUT_S) as client:
        await client.add_auth("operator", key.sign("bench"))
        await provision.init(client, key.id, key.public)
        for draft in drafts:
            await provision.create(client, draft)
            made = await provision.add_credential(client, draft.slug, "load", "writer")
            tokens[draft.slug] = made.token
    return tokens
