"""The language of searches, and expressions that would run for ever."""

import time

import pytest

from observability.index import regexp
from observability.index.marks import marked, snippet
from observability.index.query import (
    QUERY_MAX,
    Query,
    QueryError,
    Range,
    literals,
    matches,
    parse,
)
from observability.index.rows import TEXT_BYTES_MAX, key_of, text_of, whole_of
from observability.index.substrings import matching

HOSTILE = "(a+)+$"


def test_words_filters_and_an_expression() -> None:
    found = parse('Timeout "max conn" path:/shop/ name:*.json in:value size:>10k changed:<1h /a b/')
    assert found == Query(
        words=("Timeout", "max conn"),
        place="value",
        path="/shop",
        name="*.json",
        size=Range(10_241, None),
        age_s=Range(None, 3_600),
        regex="a b",
    )
    assert parse("ephemeral:yes tenant:shop") == Query(ephemeral=True, tenant="shop")
    assert parse("  ").is_empty


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.7:2181", Query(words=("10.0.0.7:2181",))),
        ("/config/app", Query(words=("/config/app",))),
        ('"size:>10k"', Query(words=("size:>10k",))),
        ('"say ""hi"""', Query(words=('say "hi"',))),
        ('path:"/a b/c"', Query(path="/a b/c")),
        ("path:/", Query(path="/")),
        ("/app-[0-9]+/ x", Query(words=("x",), regex="app-[0-9]+")),
        (r"/a\/b/", Query(regex=r"a\/b")),
        ("SIZE:10", Query(size=Range(10, 10))),
        ("size:<=1m", Query(size=Range(None, 1 << 20))),
        ("changed:>2d", Query(age_s=Range(172_800, None))),
        ("Größe", Query(words=("Größe",))),
    ],
)
def test_what_else_is_understood(text: str, found: Query) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a "b', "no end.*character 3"),
        ("size:big", "size: is 'big'.*size:>10k.*character 1"),
        ("x changed:1y", "changed: is '1y'.*character 3"),
        ("size:" + "9" * 20, "size: is"),
        ("path:a", "begins with /"),
        ("in:name", "in:path or in:value"),
        ("ephemeral:maybe", "yes or no"),
        ("name:", "says nothing"),
        ("size:1 size:2", "stands twice.*character 8"),
        ("/a/ /b/", "one regular expression"),
        ("name:" + "*" * 30, "stars"),
        ("/" + "a" * 300 + "/", "expression has 300"),
        ("a " * 20, "20 words"),
        ("a" * (QUERY_MAX + 1), "1001 characters"),
        ("a\0b", "NUL.*character 2"),
    ],
)
def test_an_error_names_the_place(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("pattern", "text", "holds"),
    [
        ("*.json", "a.JSON", True),
        ("*.json", "a.json5", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*a", "a", False),
        ("lock-*", "lock-0001", True),
        ("exact", "Exact", True),
        ("exact", "exactly", False),
        ("*", "", True),
    ],
)
def test_stars(pattern: str, text: str, holds: bool) -> None:
    assert matches(pattern, text) is holds


def test_many_stars_take_no_time() -> None:
    began_s = time.process_time()
    assert not matches("*a" * 20 + "*b", "a" * 100_000)
    assert time.process_time() - began_s < 5


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("timeout.*ms", ["timeout"]),
        ("colou?r.set", ["colo", "set"]),
        ("abc+d", ["abc"]),
        ("abc{2}def", ["abc", "cdef"]),
        ("abc{0,2}def", ["def"]),
        ("port=[0-9]{4};x", ["port="]),
        (r"a\.b\.c\d", ["a.b.c"]),
        (r"abc[\]x]def", ["abc"]),
        ("^/config", ["/config"]),
        ("a|bcd", []),
        (r"\d{3}", []),
        ("[abc]def", ["def"]),
        ("[]abc]def", ["def"]),
        ("(abc)?def", []),
    ],
)
def test_an_expression_tells_what_must_be_there(pattern: str, texts: list[str]) -> None:
    assert literals(pattern) == texts


def test_trigrams_that_are_asked_for() -> None:
    assert matching(["conf", "x"]) == '"con" AND "onf"'
    assert matching(['a"b']) == '"a""b"'
    assert matching(["ab"]) == ""
    assert matching(["a" * 500]) == '"aaa"', "each once, however long the word is"


def test_an_expression_finds_rows_and_places() -> None:
    rows = [("/a/B7", ""), ("/x", "see b12 there"), ("/y", "nothing")]
    assert regexp.fitting("b[0-9]+", rows, "me") == {0: ((3, 5), None), 1: (None, (4, 7))}
    with pytest.raises(QueryError, match="is no expression"):
        regexp.fitting("(", rows, "me")


def test_a_hostile_expression_is_stopped() -> None:
    with pytest.raises(regexp.TooSlowError, match="takes too long"):
        regexp.fitting(HOSTILE, [("/" + "a" * 60 + "!", "")], "me")
    assert regexp.fitting("a", [("/a", "")], "me"), "and the next one runs"


def test_nobody_takes_more_than_one_of_the_places() -> None:
    with regexp.place("me"), pytest.raises(regexp.TooSlowError, match="try again"):
        regexp.fitting("a", [("/a", "")], "me")
    with regexp.place("me"):
        assert regexp.fitting("a", [("/a", "")], "you")


def test_hits_are_marked_whatever_their_case() -> None:
    pieces = marked("/App/app-1", ["APP"])
    assert [(one.text, one.is_hit) for one in pieces] == [
        ("/", False),
        ("App", True),
        ("/", False),
        ("app", True),
        ("-1", False),
    ]


def test_a_snippet_is_one_line_around_the_first_hit() -> None:
    text = "x" * 500 + "\n  port:\t2181\n" + "y" * 500
    line = snippet(text, ["2181"])
    assert "".join(one.text for one in line).startswith("… x")
    assert "port: 2181 " in "".join(one.text for one in line)
    assert line[-1].text == " …"
    assert [one.text for one in line if one.is_hit] == ["2181"]
    assert len("".join(one.text for one in line)) < 220
    assert snippet(text, ["none"]) == []
    whole = snippet("z" * 1_000, ["z" * 300])
    assert [one.is_hit for one in whole if len(one.text) > 5] == [True]


def test_what_of_a_value_is_text() -> None:
    assert text_of(b"port: 1", 7) == ("port: 1", "")
    assert text_of(b"\xff\xfe", 2) == ("", "binary")
    assert text_of(b"a\0b", 3) == (r"a\x00b", "")
    long = "ä".encode() * TEXT_BYTES_MAX
    text, why = text_of(long, len(long))
    assert (len(text), why) == (TEXT_BYTES_MAX // 2, "cut")
    odd, why = text_of(b"a" + long, len(long) + 1)
    assert (len(odd), why) == (TEXT_BYTES_MAX // 2, "cut"), "half a character is left out"
    assert text_of(b"\xc3", 1)[1] == "binary"


def test_a_long_path_has_a_key_of_its_own() -> None:
    long = "/" + "a" * 700
    assert key_of("/a") == "/a"
    assert len(key_of(long)) == 600
    assert key_of(long) != key_of(long + "b")
    assert whole_of(long) == long
    assert whole_of("/a") == ""
