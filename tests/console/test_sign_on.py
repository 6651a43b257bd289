"""Single sign-on, through every redirect, against a provider that signs for real."""

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import AbstractBaseUser, User
from django.core.cache import cache
from django.test import Client as Browser

from console.sign_on_settings import SignOn, provider_settings
from tenants.access import Standing, standing_of
from tenants.actions import people
from tenants.actions import sign_on as sign_on_actions
from tenants.audit import Actor
from tenants.groups import from_text
from tenants.models import AuditEvent, MemberRole, Membership, Tenant
from tests.console.cast import make_person
from tests.console.oidc import CLIENT, SECRET, Provider

pytestmark = pytest.mark.django_db
GROUPS = (
    "sre=operator; audit=auditor; pay-dev=payments:developer; pay-own=payments:owner; x=no:owner"
)
ERIN = {
    "sub": "u-1",
    "preferred_username": "erin",
    "email": "erin@example.org",
    "email_verified": True,
}
COMMAND = Actor(None, "command")


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def provider(running: Provider, settings: Any) -> Provider:
    cache.clear()
    running.person = dict(ERIN)
    running.claims, running.told, running.issuer_said, running.page_said = {}, {}, "", ""
    running.algorithm, running.signs_with = "RS256", running.key
    configure(settings, running.issuer, "everybody")
    return running


def configure(settings: Any, issuer: str, creates: str) -> None:
    sign_on = SignOn(
        issuer, CLIENT, SECRET, "Example ID", "groups", from_text(GROUPS), creates, (issuer,)
    )
    settings.SIGN_ON = sign_on
    settings.SOCIALACCOUNT_PROVIDERS = provider_settings(sign_on)


def sign_on(
    provider: Provider, browser: Browser | None = None, wanted: str = ""
) -> tuple[Any, Browser]:
    """The whole dance; the last answer."""
    browser = browser or Browser()
    begun = browser.post("/account/sign-on" + (f"?next={wanted}" if wanted else ""))
    assert begun.status_code == 302, begun.content
    back = provider.authorize(begun["Location"])
    return browser.get(back.removeprefix("http://testserver")), browser


def refused(provider: Provider) -> str:
    answer, browser = sign_on(provider)
    assert answer.status_code in (401, 403), answer.status_code
    assert browser.get("/account/two-factor/").status_code == 302, "not signed in"
    return str(answer.content.decode())


def test_somebody_new_signs_on_and_goes_where_they_wanted(provider: Provider) -> None:
    page = Browser().get("/account/login/").content.decode()
    assert "Sign in by Example ID" in page
    answer, browser = sign_on(provider, wanted="/account/two-factor/")
    assert (answer.status_code, answer["Location"]) == (302, "/account/two-factor/")
    assert b"erin" in browser.get("/account/two-factor/").content
    erin = User.objects.get()
    assert (erin.username, erin.has_usable_password()) == ("erin", False)
    assert standing_of(erin) is Standing.PERSON
    kept = SocialAccount.objects.get()
    assert (kept.uid, "groups" in kept.extra_data) == ("u-1", False)
    verbs = list(AuditEvent.objects.order_by("seq").values_list("verb", "via", "target"))
    assert verbs == [
        ("person.created", "sign-on", "erin"),
        ("person.signed_in", "form", "erin"),
    ]
    sign_on(provider)
    assert User.objects.count() == 1, "the same person again"


def test_without_a_provider_there_is_no_such_page(client: Browser) -> None:
    for path in ("/account/sign-on", "/account/sign-on/callback"):
        assert client.get(path).status_code == 404
    assert b"sign-on" not in client.get("/account/login/").content


def test_groups_give_and_take_away_what_they_gave(provider: Provider, tenant: Tenant) -> None:
    provider.person["groups"] = ["sre", "pay-dev", "x", "unknown"]
    sign_on(provider)
    erin = User.objects.get(username="erin")
    assert standing_of(erin) is Standing.OPERATOR
    membership = Membership.objects.get(user=erin)
    assert (membership.role, membership.from_group) == (MemberRole.DEVELOPER, "pay-dev")
    provider.person["groups"] = ["pay-own", "pay-dev", "audit"]
    sign_on(provider)
    erin.refresh_from_db()
    assert standing_of(erin) is Standing.AUDITOR
    membership.refresh_from_db()
    assert (membership.role, membership.from_group) == (MemberRole.OWNER, "pay-own")
    provider.person["groups"] = []
    sign_on(provider)
    assert standing_of(User.objects.get(username="erin")) is Standing.PERSON
    assert not Membership.objects.filter(user=erin).exists()
    details = AuditEvent.objects.filter(verb="person.groups_applied").order_by("seq")
    assert [row.detail for row in details] == [
        {"operator": True, "payments": "developer"},
        {"operator": False, "auditor": True, "payments": "owner"},
        {"auditor": False, "payments": None},
    ]


def test_what_was_given_by_hand_is_never_touched(
    provider: Provider, tenant: Tenant, cast: dict[str, AbstractBaseUser]
) -> None:
    provider.person["groups"] = ["sre", "pay-dev"]
    sign_on(provider)
    erin = User.objects.get(username="erin")
    people.change(COMMAND, user=erin, operator=True, auditor=True)  # decided by a person, now
    Membership.objects.filter(user=erin).update(role=MemberRole.VIEWER, from_group="")
    for groups in (["pay-own"], []):
        provider.person["groups"] = groups
        sign_on(provider)
        erin = User.objects.get(username="erin")
        assert (erin.is_staff, people.is_auditor(erin)) == (True, True)
        assert Membership.objects.get(user=erin).role == MemberRole.VIEWER


@pytest.mark.parametrize("claim", [None, 7, {"sre": 1}, ["Sre", 5, None], "sre2"])
def test_groups_that_make_no_sense_give_nothing(claim: object, provider: Provider) -> None:
    provider.person["groups"] = claim
    sign_on(provider)
    assert standing_of(User.objects.get()) is Standing.PERSON


def test_unknown_people_stay_out_unless_that_is_allowed(provider: Provider, settings: Any) -> None:
    configure(settings, provider.issuer, "nobody")
    assert "no account for you" in refused(provider)
    configure(settings, provider.issuer, "mapped")
    assert "no account for you" in refused(provider)
    provider.person["groups"] = ["x"]
    assert sign_on(provider)[0].status_code == 302
    assert User.objects.count() == 1


def test_an_account_that_waits_is_taken_over_by_whom_the_provider_vouches_for(
    provider: Provider, settings: Any
) -> None:
    configure(settings, provider.issuer, "nobody")
    waiting, _ = people.create(
        COMMAND, username="erin.e", email="Erin@example.org", single_sign_on=True
    )
    provider.person["email_verified"] = False
    assert "no account for you" in refused(provider)
    provider.person["email_verified"] = True
    assert sign_on(provider)[0].status_code == 302
    assert SocialAccount.objects.get().user_id == waiting.pk
    provider.person["sub"] = "u-2"
    assert "no account for you" in refused(provider), "it is taken, by somebody else"


def test_nobody_takes_over_an_account_by_its_name_or_address(provider: Provider) -> None:
    User.objects.create_user("Erin", email="erin@example.org", password="x", is_staff=True)
    assert sign_on(provider)[0].status_code == 302
    made = SocialAccount.objects.get().user
    assert (made.username, made.is_staff) == ("erin-2", False)


def test_who_is_switched_off_is_not_let_in_and_given_nothing(provider: Provider) -> None:
    sign_on(provider)
    make_person("olga")
    people.deactivate(COMMAND, user=User.objects.get(username="erin"))
    provider.person["groups"] = ["sre"]
    answer, browser = sign_on(provider)
    assert answer["Location"] == "/account/inactive/"
    assert b"switched off" in browser.get("/account/inactive/").content
    assert browser.get("/account/two-factor/").status_code == 302
    assert not User.objects.get(username="erin").is_staff


def test_two_first_sign_ons_at_once_leave_one_account(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one ends between our look and our writing."""
    real = sign_on_actions.make_account

    def slow(*args: Any, **kwargs: Any) -> User:
        made = real(*args, **kwargs)
        SocialAccount.objects.create(user=make_person("carol"), provider="sso", uid="u-1")
        return made

    monkeypatch.setattr(sign_on_actions, "make_account", slow)
    answer, _ = sign_on(provider)
    assert (answer.status_code, b"once more" in answer.content) == (409, True)
    assert not User.objects.filter(username="erin").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"exp": 1_000},
        {"exp": None},
        {"sub": None},
        {"sub": "u-2"},
    ],
)
def test_a_token_that_is_not_for_us_is_refused(wrong: dict[str, Any], provider: Provider) -> None:
    provider.claims = wrong
    assert "not completed" in refused(provider)
    assert not User.objects.exists()
    row = AuditEvent.objects.get()
    assert (row.verb, row.result) == ("person.sign_in_failed", "refused")


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_token_that_anybody_could_have_signed_is_refused(
    algorithm: str, provider: Provider
) -> None:
    provider.algorithm = algorithm
    assert "not completed" in refused(provider)


def test_a_token_with_another_keys_signature_is_refused(provider: Provider) -> None:
    provider.signs_with = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "not completed" in refused(provider)


def test_two_answers_about_two_persons_are_refused(provider: Provider) -> None:
    provider.told = {"sub": "u-9"}
    assert "not completed" in refused(provider)


def test_a_code_works_once_and_only_in_the_browser_that_asked(provider: Provider) -> None:
    browser = Browser()
    back = provider.authorize(browser.post("/account/sign-on")["Location"])
    back = back.removeprefix("http://testserver")
    assert Browser().get(back).status_code == 401, "the state belongs to another session"
    assert browser.get(back).status_code == 302
    assert browser.get(back).status_code == 401, "once"
    assert Browser().get("/account/sign-on/callback").status_code == 401
    assert Browser().get("/account/sign-on/callback?error=access_denied").status_code == 401


def test_a_provider_that_lies_about_its_name_or_is_down_is_said_so(
    provider: Provider, settings: Any
) -> None:
    provider.issuer_said = "https://evil.example"
    answer = Browser().post("/account/sign-on")
    assert (answer.status_code, b"its issuer is" in answer.content) == (503, True)
    cache.clear()
    configure(settings, "http://127.0.0.1:1", "everybody")
    answer = Browser().post("/account/sign-on")
    assert (answer.status_code, b"does not answer" in answer.content) == (503, True)
    assert b"or sign in with a password" in answer.content
    assert b"object at 0x" not in answer.content


def test_a_page_where_the_browser_may_not_go_is_named_before_it_is_tried(
    provider: Provider,
) -> None:
    """The policy of the page has the origins of the settings; a browser stops without a word."""
    provider.page_said = "https://login.example"
    answer = Browser().post("/account/sign-on")
    assert answer.status_code == 503
    assert b"sign-in page at https://login.example, where" in answer.content
    assert b"ENSEMBLE_OIDC_ORIGINS" in answer.content


def test_a_get_alone_leads_nowhere(provider: Provider) -> None:
    """Else any page of the web could sign people on."""
    before = len(provider.asked)
    assert Browser().get("/account/sign-on").status_code == 200
    assert len(provider.asked) == before
    strict = Browser(enforce_csrf_checks=True)
    assert strict.post("/account/sign-on").status_code == 403
