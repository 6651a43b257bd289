"""zoo.cfg once the members are in a file of their own (storage.md 2.2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.server.properties import escape, parse_properties
from ensemble.server.static_file import point_to

DYNAMIC = "/etc/zk/zoo.cfg.dynamic.100000000"
BEFORE = b"""# Rack 7, ask Ines before changing
dataDir=/data
clientPort=2181
server.1=a:1:2
server.2 = b:1:2;\\
    2181
  ! group.9 is a comment
group.1=1:2
weight.1: 3
peerType=participant
ensemble.weights=stay
tickTime=2000"""


def test_what_is_about_members_goes_and_all_the_rest_stays_as_it_is() -> None:
    assert (
        point_to(BEFORE, DYNAMIC, drop_client_port=False)
        == b"""# Rack 7, ask Ines before changing
dataDir=/data
clientPort=2181
  ! group.9 is a comment
ensemble.weights=stay
tickTime=2000
dynamicConfigFile=/etc/zk/zoo.cfg.dynamic.100000000
"""
    )


def test_the_client_port_goes_where_the_members_say_it() -> None:
    raw = b"clientPort=1\nclientPortAddress=h\nsecureClientPort=2\n"
    after = point_to(raw, DYNAMIC, drop_client_port=True)
    assert list(parse_properties(after, "")) == ["secureClientPort", "dynamicConfigFile"]


def test_the_next_version_replaces_the_one_before() -> None:
    first = point_to(BEFORE, DYNAMIC, drop_client_port=False)
    second = point_to(first, DYNAMIC[:-1] + "7", drop_client_port=False)
    assert second == first.replace(b"100000000", b"100000007")


@pytest.mark.parametrize("drop", [False, True])
def test_a_file_that_says_so_already_is_left_alone(drop: bool) -> None:
    once = point_to(BEFORE, DYNAMIC, drop) + b"# behind it"
    assert point_to(once, DYNAMIC, drop) is once


def test_other_line_ends_stay() -> None:
    raw = b"a=1\r\nserver.1=x\r\nb=2\r"
    after = point_to(raw, "/d", drop_client_port=False)
    assert after == b"a=1\r\nb=2\rdynamicConfigFile=/d\n"


def test_an_empty_file_and_one_that_ends_in_the_middle_of_a_line() -> None:
    assert point_to(b"", "/d", drop_client_port=False) == b"dynamicConfigFile=/d\n"
    after = point_to(b"a=1\nserver.1=x\\", "/d", drop_client_port=False)
    assert after == b"a=1\ndynamicConfigFile=/d\n"
    after = point_to(b"a=1\nb=2\\\n", "/d", drop_client_port=False)
    assert parse_properties(after, "")["dynamicConfigFile"] == "/d"


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_path_of_any_kind_comes_back(path: str) -> None:
    raw = b"key=" + escape("/" + path + "/x").encode("ascii")
    assert parse_properties(raw, "")["key"] == "/" + path + "/x"
