"""The C client's shell, from Debian's zookeeper-bin, against our server."""

import os
import select
import subprocess
import time

from tests.harness import Node
from tests.needs import need

SHELL = "/usr/lib/zookeeper/bin/cli_mt"
ANSWER_TIMEOUT_S = 10.0
# What is typed, and what the shell says to it.
CONVERSATION = [
    ("create /c-shell", "name = /c-shell"),
    ("set /c-shell hello", "version=1"),
    ("get /c-shell", "hello"),
    ("create +s /c-shell/n-", "name = /c-shell/n-0000000000"),
    ("create +e /c-shell/e", "name = /c-shell/e"),
    ("ls2 /c-shell", "n-0000000000"),
    ("addauth digest ann:secret", ""),
    ("sync /c-shell", "/c-shell"),
    ("delete /c-shell", "rc = -111"),
    ("delete /c-shell/e", "rc = 0"),
    ("get /nothing", "rc = -101"),
]


def test_the_c_clients_shell_works(node: Node) -> None:
    need(SHELL)
    shell = subprocess.Popen(
        ["stdbuf", "-o0", SHELL, "-h", node.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    os.set_blocking(shell.stdout.fileno(), False)
    try:
        listen(shell, "CONNECTED_STATE")
        for command, wanted in CONVERSATION:
            shell.stdin.write(f"{command}\n".encode())
            shell.stdin.flush()
            listen(shell, wanted)
        shell.stdin.write(b"quit\n")
        shell.stdin.close()
        assert shell.wait(ANSWER_TIMEOUT_S) == 0
    finally:
        shell.kill()
        shell.wait()
        shell.stdin.close()
        shell.stdout.close()
    assert "Traceback" not in node.log()


def listen(shell: "subprocess.Popen[bytes]", wanted: str) -> None:
    """Read what the shell says until it has said what is wanted."""
    assert shell.stdout is not None
    said = b""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while wanted.encode() not in said:
        ready, _, _ = select.select([shell.stdout], [], [], 0.1)
        said += (shell.stdout.read() or b"") if ready else b""
        assert time.monotonic() < deadline, f"no {wanted!r} in {said.decode()!r}"
