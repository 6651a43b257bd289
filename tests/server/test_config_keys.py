"""Every key there is: a bad value refuses the start, one without effect is named once.

The keys are found by reading a configuration, so that a new one cannot be left out here.
"""

from pathlib import Path

import pytest

from ensemble.errors import ConfigError
from ensemble.server import ignored_keys
from ensemble.server.config import Config, build, load_config
from ensemble.server.ignored_keys import TUNING, UNSUPPORTED
from ensemble.server.keys import SPELLINGS, Keys
from tests.harness import Node
from tests.server.settings import BASE, FOUND
from tests.server.starting import Start, refused


def read(lines: dict[str, str], properties: dict[str, str] | None = None) -> Config:
    return build(Keys({**BASE, **lines}, properties or {}), "", {})


def refusal(name: str, value: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read({name: value})
    said = str(caught.value)
    assert name in said, "the key is named"
    return said


def test_the_walk_finds_the_keys() -> None:
    assert len(FOUND.numbers) > 30
    assert len(FOUND.flags) > 20
    assert {"connection_throttle_drop_increase", "connection_throttle_decrease_ratio"} < (
        FOUND.shares
    )
    assert FOUND.passwords >= {"ssl.keyStore.password", "ssl.quorum.trustStore.password"}


@pytest.mark.parametrize("name", sorted(FOUND.numbers))
def test_a_number_out_of_bounds_or_none_at_all_names_value_and_bounds(name: str) -> None:
    least, most = FOUND.numbers[name]
    for value in (least - 1, most + 1):
        said = refusal(name, str(value))
        assert str(value) in said
        assert str(least) in said
        assert str(most) in said
    for text in ("many", "", "1.5", "1 2", "0x", "1e3", "--1", "1_000"):
        assert repr(text) in refusal(name, text)
    assert "no number" in refusal(name, "9" * 5_000)


@pytest.mark.parametrize("name", sorted(FOUND.flags))
def test_a_flag_is_true_or_false(name: str) -> None:
    for value in ("maybe", "", "1", "truefalse"):
        assert repr(value) in refusal(name, value)
    if not FOUND.flags[name]:
        assert repr("yes") in refusal(name, "yes")


@pytest.mark.parametrize("name", sorted(FOUND.choices))
def test_a_choice_names_what_may_be_chosen(name: str) -> None:
    said = refusal(name, "other")
    assert "'other'" in said
    for allowed in FOUND.choices[name]:
        assert repr(allowed) in said


@pytest.mark.parametrize("name", sorted(FOUND.shares))
def test_a_share_is_from_0_to_1(name: str) -> None:
    for value in ("-0.1", "1.1", "nan", "inf"):
        said = refusal(name, value)
        assert value in said
        assert "0 and 1" in said
    assert "'half'" in refusal(name, "half")


@pytest.mark.parametrize("name", sorted(FOUND.passwords))
def test_a_password_file_that_is_not_there_is_named(name: str) -> None:
    assert "/nowhere/secret" in refusal(f"{name}Path", "/nowhere/secret")


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\nsecond line\n")
    assert read({"ssl.keyStore.passwordPath": str(path)}).tls.key_password == "hunter2"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"dataDir": ""}, ["dataDir", "missing"]),
        ({"clientPort": "-1", "secureClientPort": "-1"}, ["clientPort", "secureClientPort"]),
        ({"clientPort": "-1", "clientPortAddress": "::1"}, ["clientPortAddress", "::1"]),
        ({"secureClientPort": "-1", "secureClientPortAddress": "::1"}, ["::1"]),
        ({"admin.commandURL": "commands"}, ["admin.commandURL", "commands"]),
        ({"admin.commandURL": "/{x}"}, ["admin.commandURL", "/{x}"]),
        ({"enforce.auth.enabled": "true"}, ["enforce.auth.schemes", "empty"]),
        ({"DigestAuthenticationProvider.superDigest": "x"}, ["superDigest", "colon"]),
        ({"server.1": "nonsense"}, ["server.1", "nonsense", "host:port:port"]),
        ({"server.1": "a:1:2;2181", "clientPort": "2182"}, ["2182", "2181", "server.1"]),
        ({"dynamicConfigFile": "/nowhere/x"}, ["dynamicConfigFile", "/nowhere/x"]),
        ({"electionAlg": "0"}, ["electionAlg", "0", "3"]),
        ({"minSessionTimeout": "9", "maxSessionTimeout": "8"}, ["SessionTimeout", "9", "8"]),
    ],
)
def test_what_cannot_go_together_is_named(lines: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(lines)
    for word in words:
        assert word in str(caught.value)


def test_the_old_names_mean_the_same() -> None:
    for documented, coded in SPELLINGS.items():
        value = "0.5" if coded in FOUND.shares else "7"
        assert Keys({documented: value}, {}).values == {coded: value}


def test_a_member_line_may_say_the_client_port(tmp_path: Path) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text(f"dataDir={tmp_path}\nserver.1=a:2888:3888:participant;127.0.0.1:2183\n")
    config = load_config([str(path)], {})
    assert (config.ports.host, config.ports.port) == ("127.0.0.1", 2183)


# Keys without effect


@pytest.mark.parametrize("name", sorted(TUNING))
def test_what_only_tunes_is_named_but_is_no_warning(name: str) -> None:
    key = name.replace("*", "something")
    config = read({key: "7"})
    assert config.unknown == ()
    assert config.unsupported == ()
    assert config.ignored == () if key in FOUND.used else config.ignored == (key,)


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_what_somebody_may_count_on_is_one_warning_with_a_reason(name: str) -> None:
    key = name.replace("*", "something")
    harmless, reason = UNSUPPORTED[name]
    config = read({key: "true"})
    assert config.unsupported == (f"{key}=true has no effect: {reason}",)
    assert (config.unknown, config.ignored) == ((), ())
    for value in harmless:
        assert read({key: value.upper()}).unsupported == ()


def test_a_secret_is_not_shown_by_a_warning() -> None:
    assert read({"kerberos.password": "hunter2"}).unsupported[0].startswith("kerberos.password=***")


def test_no_key_is_in_both_tables_or_read_and_called_ignored() -> None:
    assert not set(TUNING) & set(UNSUPPORTED)
    assert not [n for n in FOUND.used if n in TUNING]
    assert not [n for n in FOUND.used if n in UNSUPPORTED]


def test_a_typing_error_is_unknown_wherever_it_stands() -> None:
    config = read({"snapCuont": "5"}, {"zookeeper.tickTmie": "1"})
    assert config.unknown == ("snapCuont", "tickTmie")
    assert not ignored_keys.is_known("snapCuont")


def test_what_has_an_effect_is_in_no_list() -> None:
    lines = {
        "audit.enable": "true",
        "largeRequestThreshold": "1000",
        "txnLogSizeLimitInKb": "4096",
        "clientTcpKeepAlive": "true",
        "client.portUnification": "true",
        "client.certReload": "true",
        "connectionMaxTokens": "5",
        "admin.needClientAuth": "true",
        "letAnySaslUserDoX": "somebody",
        "enforce.auth.schemes": "digest",
        "admin.idleTimeout": "1000",
        "ssl.enabledProtocols": "TLSv1.3",
        "ssl.crl": "true",
    }
    config = read(lines)
    assert (config.unknown, config.ignored, config.unsupported) == ((), (), ())


def test_each_is_said_once_when_the_server_starts(start_node: Start) -> None:
    node = start_node(
        {
            "snapCuont": 5,
            "emulate353TTLNodes": "true",
            "electionPortBindRetry": 10,
            "commitProcessor.numWorkerThreads": 8,
        },
        {"zookeeper.kerberos.removeHostFromPrincipal": "true"},
    )
    assert warnings(node) == [
        "emulate353TTLNodes=true has no effect",
        "kerberos.removeHostFromPrincipal=true has no effect",
        "snapCuont in the configuration is not known to this server, it has no effect",
    ]
    tuning = [line for line in node.log().splitlines() if "without effect here" in line]
    assert len(tuning) == 1
    assert tuning[0].endswith("commitProcessor.numWorkerThreads, electionPortBindRetry")


def warnings(node: Node) -> list[str]:
    """The sentences that the log warns with, without what is before and the reasons."""
    lines = [line for line in node.log().splitlines() if "has no effect" in line]
    assert all("WARNING" in line.upper() for line in lines)
    words = ("emulate353TTLNodes", "kerberos.", "snapCuont")
    found = [line[min(line.find(w) for w in words if w in line) :] for line in lines]
    return sorted(sentence.partition(":")[0] for sentence in found)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest,kerberos"},
            ["enforce.auth.schemes", "kerberos", "digest"],
        ),
        (
            {"enforce.auth.enabled": "true", "enforce.auth.schemes": "sasl"},
            ["enforce.auth.schemes", "sasl"],
        ),
        ({"sessionRequireClientSASLAuth": "true"}, ["enforce.auth.schemes", "sasl"]),
        ({"authProvider.1": "com.acme.Own"}, ["authProvider", "com.acme.Own"]),
        ({"DigestAuthenticationProvider.digestAlg": "ROT13"}, ["digestAlg", "rot13"]),
        ({"DigestAuthenticationProvider.digestAlg": "shake_128"}, ["digestAlg", "shake_128"]),
        ({"java.security.auth.login.config": "/nowhere/jaas"}, ["login.config", "/nowhere/jaas"]),
        ({"client.portUnification": "true"}, ["ssl.keyStore.location", "missing"]),
        ({"admin.forceHttps": "true"}, ["ssl.quorum.keyStore.location", "missing"]),
    ],
)
def test_what_shows_only_when_it_is_put_to_use_refuses_the_start_too(
    lines: dict[str, object], words: list[str], start_node: Start
) -> None:
    refused(start_node, lines, *words)
