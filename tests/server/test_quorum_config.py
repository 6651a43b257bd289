"""The ensemble's part of the configuration: what it means, and each way to get it wrong."""

from pathlib import Path

import pytest

from ensemble.errors import ConfigError
from ensemble.server.config import Config, load_config
from ensemble.server.quorum_config import QuorumOptions

THREE = (
    "server.1=a:2888:3888\nserver.2=b:2888:3888:participant;127.0.0.1:2182\nserver.3=c:2888:3888\n"
)
LIMITS = "initLimit=10\nsyncLimit=5\n"
JAAS = """
QuorumServer { x required user_quser="qpass" user_other="o"; };
QuorumLearner { x required username="quser" password="qpass"; };
"""


def load(
    folder: Path, lines: str, myid: str | None = "1\n", base: str = "clientPort=0\n"
) -> Config:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    if myid is not None:
        (data / "myid").write_text(myid)
    path = folder / "zoo.cfg"
    path.write_text(f"dataDir={data}\ntickTime=2000\n{base}{lines}")
    return load_config([str(path)], {})


def options(folder: Path, lines: str, myid: str = "1\n") -> QuorumOptions:
    quorum = load(folder, lines, myid).quorum
    assert quorum is not None
    return quorum


def refused(folder: Path, lines: str, myid: str | None = "1\n") -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, lines, myid)
    return str(caught.value)


def test_three_servers_are_an_ensemble(tmp_path: Path) -> None:
    config = load(tmp_path, THREE + LIMITS)
    quorum = config.quorum
    assert quorum is not None
    assert (config.server_id, quorum.sid) == (1, 1)
    assert quorum.members.voters == {1, 2, 3}
    assert quorum.member.quorum_addresses == [("a", 2888)]
    assert (quorum.timing.init_ms(), quorum.timing.sync_ms()) == (20_000, 10_000)
    assert quorum.timing.data_bytes_max == 2 * 0xFFFFF
    assert (quorum.learner_connect_ms, quorum.handshake_ms) == (20_000, 10_000)
    assert quorum.config_path == str(tmp_path / "zoo.cfg")
    assert quorum.sasl.users is None
    assert config.quorum_tls is None
    assert quorum.warnings == ()
    assert (config.unknown, config.ignored, config.unsupported) == ((), (), ())


@pytest.mark.parametrize(
    "lines",
    ["", "server.1=a:1:2\n", "initLimit=5\nsyncLimit=2\n", LIMITS + "server.1=a:1:2;2181\n"],
)
def test_none_or_one_is_a_server_alone(tmp_path: Path, lines: str) -> None:
    """admin.md 5.2: also beside limits, as in Apache's sample file."""
    assert load(tmp_path, lines, None, "clientPort=2181\n").quorum is None


def test_one_is_an_ensemble_where_standalone_is_off(tmp_path: Path) -> None:
    lines = "standaloneEnabled=false\nserver.1=a:1:2\nserver.2=b:1:2:observer\n"
    assert options(tmp_path, lines + LIMITS).members.observers == {2}


def test_the_client_port_of_the_own_line_counts(tmp_path: Path) -> None:
    config = load(tmp_path, THREE + LIMITS, "2\n", "")
    assert (config.ports.host, config.ports.port) == ("127.0.0.1", 2182)


def test_a_dynamic_file_holds_the_members_and_its_name_the_version(tmp_path: Path) -> None:
    """admin.md 5.5."""
    path = tmp_path / "zoo.cfg.dynamic.10000002f"
    path.write_text(THREE)
    quorum = options(tmp_path, f"dynamicConfigFile={path}\n{LIMITS}")
    assert quorum.members.version == 0x10000002F
    assert quorum.members.voters == {1, 2, 3}
    assert quorum.dynamic_path == str(path)


def test_groups_weights_and_several_addresses(tmp_path: Path) -> None:
    """election.md 5, admin.md 5.4."""
    lines = (
        THREE.replace("c:2888:3888", "c:2888:3888|[::1]:2889:3889")
        + "group.1=1:2\ngroup.2=3\nweight.1=2\nmultiAddress.enabled=true\n"
    )
    quorum = options(tmp_path, lines + LIMITS)
    assert quorum.members.hierarchical
    assert quorum.members.weight(1) == 2
    assert quorum.members.servers[3].election_addresses == [("c", 3888), ("::1", 3889)]


def test_settings_reach_their_options(tmp_path: Path) -> None:
    quorum = options(
        tmp_path,
        THREE + LIMITS + "connectToLearnerMasterLimit=3\ncnxTimeout=700\nquorumCnxnTimeoutMs=900\n"
        "quorumListenOnAllIPs=true\nleaderServes=no\nlocalSessionsEnabled=true\n"
        "localSessionsUpgradingEnabled=true\nreadonlymode.enabled=true\ncommitLogCount=7\n"
        "forceSnapshotSync=true\nfastleader.minNotificationInterval=50\n"
        "fastleader.maxNotificationInterval=100\nleader.maxConcurrentSnapSyncs=2\n",
    )
    assert (quorum.learner_connect_ms, quorum.connect_ms, quorum.handshake_ms) == (6_000, 700, 900)
    assert quorum.listen_everywhere
    assert not quorum.leader_serves
    assert quorum.local_sessions
    assert quorum.local_sessions_upgrade
    assert quorum.read_only
    assert quorum.commit_log_count == 500, "Apache's least one"
    assert quorum.timing.force_snapshot
    assert (quorum.timing.resend_ms_min, quorum.timing.resend_ms_max) == (50, 100)
    assert quorum.snap_syncs_max == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (THREE + "syncLimit=5\n", ["initLimit", "missing"]),
        (THREE + "initLimit=5\n", ["syncLimit", "missing"]),
        (THREE + LIMITS + "server.4=a\n", ["server.4", "host:port:port"]),
        (THREE + LIMITS + "server.4=a:1:99999\n", ["server.4", "99999"]),
        (THREE + LIMITS + "server.x=a:1:2\n", ["server", "x"]),
        (THREE + LIMITS + "server.4=a:1:1\n", ["server.4", "port 1 both"]),
        (THREE + LIMITS + "server.4=a:1:2:leader\n", ["server.4", "leader"]),
        (THREE + LIMITS + "server.4=a:1:2|b:1:2\n", ["server.4", "multiAddress.enabled"]),
        (THREE + LIMITS + "group.1=1:2\n", ["server 3", "group"]),
        (THREE + LIMITS + "weight.9=2\n", ["server 9"]),
        (THREE + LIMITS + "standaloneEnabled=perhaps\n", ["standaloneEnabled", "perhaps"]),
        (THREE + LIMITS + "peerType=king\n", ["peerType", "king"]),
        (
            THREE + LIMITS + "fastleader.minNotificationInterval=70000\n",
            ["fastleader.minNotificationInterval", "70000", "60000"],
        ),
        ("server.1=a:1:2\nserver.2=b:1:2:observer\n" + LIMITS, ["server.1", "observers"]),
        ("server.1=a:1:2:observer\n" + LIMITS, ["participant"]),
        ("standaloneEnabled=false\n" + LIMITS, ["standaloneEnabled", "no server line"]),
        (THREE + LIMITS + "dynamicConfigFile=/x\n", ["dynamicConfigFile", "/x", "server.1"]),
        ("dynamicConfigFile=/nowhere/dyn\n" + LIMITS, ["dynamicConfigFile", "/nowhere/dyn"]),
        (
            THREE + LIMITS + "quorum.auth.learnerRequireSasl=true\n",
            ["quorum.auth.learnerRequireSasl", "enableSasl"],
        ),
        (
            THREE + LIMITS + "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true\n",
            ["quorum.auth.serverRequireSasl", "learnerRequireSasl"],
        ),
        (
            THREE + LIMITS + "quorum.auth.enableSasl=true\n",
            ["java.security.auth.login.config", "missing"],
        ),
        (
            THREE + LIMITS + "quorum.auth.enableSasl=true\n"
            "java.security.auth.login.config=/nowhere/jaas\n",
            ["/nowhere/jaas"],
        ),
    ],
)
def test_a_wrong_ensemble_refuses_the_start(tmp_path: Path, lines: str, words: list[str]) -> None:
    said = refused(tmp_path, lines)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("myid", "words"),
    [
        (None, ["myid", "No such file", "server.<number>"]),
        ("", ["''"]),
        ("one\n", ["'one'", "0 to 255"]),
        ("1 \n", ["'1 '"]),
        ("256\n", ["'256'"]),
        ("\u0662\n", ["a number"]),
        ("4\n", ["4 in", "1, 2, 3"]),
    ],
)
def test_an_ensemble_needs_its_own_number(
    tmp_path: Path, myid: str | None, words: list[str]
) -> None:
    said = refused(tmp_path, THREE + LIMITS, myid)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (THREE + "version=5\n", ["version"]),
        (THREE + "clientPort=5\n", ["unknown key", "clientPort", "line 4"]),
    ],
)
def test_a_dynamic_file_holds_members_only(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "dyn"
    path.write_text(text)
    said = refused(tmp_path, f"dynamicConfigFile={path}\n{LIMITS}")
    for word in (*words, str(path)):
        assert word in said, said


def test_the_client_port_must_not_be_told_twice_differently(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clientPort: 2183, but server\.2 says 2182"):
        load(tmp_path, THREE + LIMITS, "2\n", "clientPort=2183\n")


def test_what_is_odd_but_works_is_said(tmp_path: Path) -> None:
    """admin.md 5.2: no errors in Apache's server either."""
    lines = "server.1=a:1:2\nserver.2=b:1:2\npeerType=observer\nportUnification=true\n" + LIMITS
    warnings = options(tmp_path, lines).warnings
    assert [warning.split(":")[0] for warning in warnings] == [
        "peerType=observer, but server.1 says otherwise and counts",
        "two participants",
        "portUnification",
    ]


def test_sasl_takes_user_and_users_from_the_jaas_file(tmp_path: Path) -> None:
    """zab.md 8."""
    jaas = tmp_path / "jaas.conf"
    jaas.write_text(JAAS)
    base = f"java.security.auth.login.config={jaas}\nquorum.auth.enableSasl=true\n"
    sasl = options(tmp_path, THREE + LIMITS + base).sasl
    assert (sasl.user, sasl.required) == ("", False)
    assert sasl.users == {"quser": "qpass", "other": "o"}
    both = "quorum.auth.learnerRequireSasl=true\nquorum.auth.serverRequireSasl=true\n"
    sasl = options(tmp_path, THREE + LIMITS + base + both).sasl
    assert (sasl.user, sasl.password, sasl.required) == ("quser", "qpass", True)
    assert "qpass" not in repr(sasl), "trust.md E7"
    named = both + "quorum.auth.learner.saslLoginContext=Nobody\n"
    assert "no section Nobody" in refused(tmp_path, THREE + LIMITS + base + named)
    named = "quorum.auth.server.saslLoginContext=Nobody\n"
    assert "no section Nobody" in refused(tmp_path, THREE + LIMITS + base + named)
