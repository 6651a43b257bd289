"""What groups of single sign-on mean: mappings good and bad."""

import pytest

from tenants.groups import CLAIMED_MAX, GROUPS_MAX, from_document, from_text, given_by, groups_in


def test_the_strongest_role_counts() -> None:
    mapping = from_text("a=pay:viewer; b=pay:owner ;b=ops:developer; c=auditor;;")
    given = given_by(mapping, ["c", "b", "a", "z"])
    assert (given.operator, given.auditor) == (False, True)
    assert given.roles == {"pay": (3, "b"), "ops": (2, "b")}
    assert not given_by(mapping, ["z"])


def test_a_file_means_the_same_as_a_line() -> None:
    document = {"sre": "operator", "b": ["pay:owner", "ops:developer"]}
    assert from_document(document) == from_text("sre=operator; b=pay:owner; b=ops:developer")
    assert from_text("cn=sre,dc=x=operator") == from_document({"cn=sre,dc=x": "operator"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sre", "'sre' has no '='"),
        ("=operator", "a group is called ''"),
        (f"{'x' * 201}=operator", "1 to 200 characters"),
        ("sre=king", "'king' means nothing: use operator, auditor, or slug:role"),
        ("sre=pay:king", "viewer, developer, owner"),
        ("sre=Pay:owner", "'Pay:owner' means nothing"),
        (";".join(f"g{n}=operator" for n in range(GROUPS_MAX + 1)), "at most 1000"),
    ],
)
def test_a_wrong_entry_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        from_text(text)
    assert words in str(refused.value)


@pytest.mark.parametrize("document", [None, [], "x", {"sre": 7}, {"sre": [None]}, {"sre": {}}])
def test_a_wrong_file_is_refused(document: object) -> None:
    with pytest.raises(ValueError):
        from_document(document)


def test_a_claim_is_a_list_or_one_text() -> None:
    assert groups_in("a") == ["a"]
    assert groups_in(["a", 1, None]) == ["a"]
    assert groups_in({"a": 1}) == groups_in(None) == []
    assert len(groups_in(["a"] * (CLAIMED_MAX + 5))) == CLAIMED_MAX
