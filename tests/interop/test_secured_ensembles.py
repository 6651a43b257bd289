"""Ensembles of ours and Apache's servers that prove to each other who they are. zab.md 8."""

import time
from pathlib import Path

import pytest

from ensemble.client import Client
from tests.ensembles import POLL_S, Ensemble, Software, apache, ours
from tests.server.authority import Authority

REFUSED_WITHIN_S = 20.0
JAAS = """
QuorumServer {
    org.apache.zookeeper.server.auth.DigestLoginModule required user_quser="%(password)s";
};
QuorumLearner {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    username="quser" password="%(password)s";
};
"""
SASL = {
    "quorum.auth.enableSasl": "true",
    "quorum.auth.learnerRequireSasl": "true",
    "quorum.auth.serverRequireSasl": "true",
}


def sasl_flag(folder: Path, password: str = "qpass") -> str:
    path = folder / f"jaas-{password}.conf"
    path.write_text(JAAS % {"password": password})
    return f"-Djava.security.auth.login.config={path}"


def tls(authority: Authority, name: str, host: str = "127.0.0.1") -> dict[str, object]:
    _, store = authority.issue(name, host)
    return {
        "sslQuorum": "true",
        "ssl.quorum.keyStore.location": store,
        "ssl.quorum.keyStore.password": "changeit",
        "ssl.quorum.trustStore.location": authority.pem,
    }


async def write_here_read_there(ensemble: Ensemble) -> None:
    async with Client(ensemble[1].address, timeout=20.0) as client:
        await client.create("/written", b"by server 1")
    async with Client(ensemble[3].address, timeout=20.0) as client:
        await client.sync("/written")
        data, _ = await client.get("/written")
        assert data == b"by server 1"


@pytest.mark.parametrize("proof", ["SASL", "TLS", "TLS and SASL"])
@pytest.mark.parametrize("our_role", ["leader", "follower"])
async def test_ours_and_apaches_prove_themselves(
    proof: str, our_role: str, classpath: str, tmp_path: Path
) -> None:
    """The larger of two ids leads: ours is the larger, or the smaller one."""
    flag = sasl_flag(tmp_path)
    our, theirs = ours(flag), apache(classpath, "-Xmx512m", flag)
    software = [theirs, theirs, our] if our_role == "leader" else [our, theirs, theirs]
    authority = Authority(tmp_path)
    with Ensemble(tmp_path, software, SASL if "SASL" in proof else {}) as ensemble:
        if "TLS" in proof:
            for member in ensemble.all:
                member.config.update(tls(authority, f"server-{member.sid}"))
        first = (1, 3) if our_role == "leader" else (1, 2)
        leader = ensemble.start(*first).wait_serving()
        assert leader.software.is_ours == (our_role == "leader"), ensemble.logs()
        (late,) = {1, 2, 3} - set(first)
        ensemble.start(late).wait_serving()
        await write_here_read_there(ensemble)


@pytest.mark.parametrize("liar_is", ["ours", "apache"])
def test_E3_who_does_not_know_the_password_stays_outside(
    liar_is: str, classpath: str, tmp_path: Path
) -> None:
    """trust.md E3: neither software lets the other in, and the quorum does not notice."""
    right, wrong = sasl_flag(tmp_path), sasl_flag(tmp_path, "guessed")
    theirs = apache(classpath, "-Xmx512m", right)
    liar: Software = ours(wrong) if liar_is == "ours" else apache(classpath, "-Xmx512m", wrong)
    others = theirs if liar_is == "ours" else ours(right)
    with Ensemble(tmp_path, [others, others, liar], SASL) as ensemble:
        ensemble.start(1, 2).wait_serving()
        ensemble.start(3)
        # Apache's servers have no log here: ours tell, on whichever side they are.
        said, tell = "unknown user or wrong password", (1, 2)
        if liar_is == "ours":
            said, tell = "does not accept this server's SASL user", (3,)
        deadline = time.monotonic() + REFUSED_WITHIN_S
        while not all(said in ensemble[sid].log_path.read_text() for sid in tell):
            assert time.monotonic() < deadline, ensemble.logs()
            time.sleep(POLL_S)
        assert ensemble[3].mode() == ""
        assert {ensemble[1].mode(), ensemble[2].mode()} == {"leader", "follower"}
