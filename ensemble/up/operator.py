"""The first operator of an ensemble that `up` runs: a key in its folder, and the registry."""

import asyncio
from pathlib import Path
from typing import Final

from ensemble.admin import provision
from ensemble.admin.errors import ProvisionError
from ensemble.admin.keys import OperatorKey, load_key, make_key, save_key
from ensemble.client import Client, ClientError
from ensemble.up.errors import StartError
from ensemble.up.folder import put_file

KEY_FILE: Final = "operator.key"
TRUSTED_FILE: Final = "operators"  # what ensemble.operator.keys names
KEY_ID: Final = "up"
REGISTRY_WITHIN_S: Final = 10.0


def kept_key(folder: Path) -> OperatorKey:
    """The operator's key, made once, and the file by which the nodes trust it.

    Raises:
        StartError: the file holds no key.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            save_key(make_key(KEY_ID), path)
        key = load_key(path)
    except ProvisionError as error:
        raise StartError(f"{error}; remove it for a new one.") from None
    put_file(folder / TRUSTED_FILE, f"{key.line}\n".encode())
    return key


async def make_registry(hosts: str, key: OperatorKey) -> str:
    """Have the ensemble keep tenants; why it does not, empty if all is well."""
    client = Client(hosts, auth=[("operator", key.sign(KEY_ID))])
    try:
        async with asyncio.timeout(REGISTRY_WITHIN_S):
            await client.connect()
            try:
                await provision.init(client, key.id, key.public)
            finally:
                await client.close()
    except TimeoutError:
        return f"no answer within {REGISTRY_WITHIN_S:.0f} s"
    except (ClientError, ProvisionError, OSError) as error:
        return str(error)
    return ""
