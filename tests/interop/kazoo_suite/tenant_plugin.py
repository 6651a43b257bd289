"""A plugin of pytest for kazoo's own suite: every client presents a tenant's credential.

Nothing else of the suite is changed. `ENSEMBLE_PROVISION` is a command that makes the tenant at the
server whose address follows, and prints its token; where the tenant is there already, nothing.
"""

import os
import shlex
import subprocess

from kazoo.client import KazooClient
from kazoo.testing.common import ZookeeperCluster

PROVISION_TIMEOUT_S = 60
token = ""


def provision(cluster):
    global token
    addresses = ",".join(server.address for server in cluster)
    command = shlex.split(os.environ["ENSEMBLE_PROVISION"]) + [addresses]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PROVISION_TIMEOUT_S,
        cwd=os.environ["ENSEMBLE_ROOT"],
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    token = done.stdout.strip() or token
    assert token


start_cluster = ZookeeperCluster.start
make_client = KazooClient.__init__


def start(cluster):
    start_cluster(cluster)
    provision(cluster)


def init(client, *args, **kwargs):
    make_client(client, *args, **kwargs)
    if token:
        client.auth_data = {*client.auth_data, ("tenant", token)}


ZookeeperCluster.start = start
KazooClient.__init__ = init
