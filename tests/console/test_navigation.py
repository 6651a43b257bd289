"""What stands in the rail, the palette and a tenant's tabs: what somebody may open, no more."""

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client as Browser

from console import navigation
from console.access import ROUTES
from tenants.access import RIGHTS, Standing
from tenants.models import Request, Tenant
from tests.console.cast import browser_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


def labels(standing: Standing, *ensembles: str) -> set[str]:
    sections = navigation.sections_for(standing, ROUTES, ensembles)
    return {link.entry.label for section in sections for link in section.links}


def test_every_entry_is_a_page_of_the_table_and_each_key_leads_to_one() -> None:
    entries = [entry for _, found in navigation.SECTIONS for entry in found]
    assert {entry.route for entry in entries} <= set(ROUTES)
    keys = [entry.key for entry in entries if entry.key]
    assert len(keys) == len(set(keys))
    assert {tab.route for tab in navigation.TABS} <= set(ROUTES)
    assert {tab.right for tab in navigation.TABS} <= set(RIGHTS)


def test_each_sees_what_they_may_open() -> None:
    persons, auditors, operators = map(
        labels, (Standing.PERSON, Standing.AUDITOR, Standing.OPERATOR)
    )
    assert {"Tenants", "Requests", "Plans", "API tokens"} <= persons
    assert not persons & {"Overview", "Znodes", "Members", "Audit", "People"}
    assert {"Overview", "Znodes", "Audit"} <= auditors
    assert auditors <= operators
    assert labels(Standing.NOBODY) == set()


def test_pages_of_an_ensemble_lead_to_the_one_that_is_looked_at() -> None:
    assert "Sessions" not in labels(Standing.OPERATOR)
    for at, ensemble in (("west", "west"), ("", "main"), ("no such", "main")):
        sections = navigation.sections_for(Standing.OPERATOR, ROUTES, ["main", "west"], at)
        urls = {link.entry.route: link.url for section in sections for link in section.links}
        assert urls["sessions"] == f"/ensembles/{ensemble}/sessions"


def test_a_page_is_marked_by_the_longest_beginning_of_its_route() -> None:
    sections = navigation.sections_for(Standing.OPERATOR, ROUTES, ["main"])
    assert navigation.current(sections, "tenant-members") == "tenants"
    assert navigation.current(sections, "member-add") == "members"
    assert navigation.current(sections, "plan-new") == "plans"
    assert navigation.current(sections, "plane-audit") == "plane-audit"
    assert navigation.current(sections, "ensemble-slow") == "ensemble-dashboard"
    assert navigation.current(sections, "account_login") == ""


def test_a_deleted_tenant_has_no_tree_to_open() -> None:
    alive = {tab.label for tab in navigation.tabs_for(RIGHTS, is_alive=True)}
    gone = {tab.label for tab in navigation.tabs_for(RIGHTS, is_alive=False)}
    assert "Znodes" in alive
    assert "Znodes" not in gone
    assert {"Overview", "Settings", "Audit"} <= gone


def test_nobody_sees_a_link_that_is_refused(
    cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    """The rail of each, followed."""
    for name, standing in (("carol", Standing.PERSON), ("ada", Standing.AUDITOR)):
        browser: Browser = browser_of(cast, name)
        page = browser.get("/tenants/").content.decode()
        for section in navigation.sections_for(standing, ROUTES, ["main"]):
            for link in section.links:
                assert f"<span>{link.entry.label}</span>" in page
                assert browser.get(link.url).status_code not in (403, 404), link.url
    assert "Overview</span>" not in browser_of(cast, "carol").get("/tenants/").content.decode()


def test_what_waits_is_counted_for_who_may_see_it(
    cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    Request.objects.create(
        kind="create",
        asked_by=cast["carol"],
        slug="wished",
        ensemble=tenant.ensemble,
        plan=tenant.plan,
    )
    seen = {
        name: browser_of(cast, name).get("/counts").json()["counts"] for name in ("olga", "carol")
    }
    assert seen["olga"]["requests"] == {"count": 1, "bad": False}
    assert "requests" not in seen["carol"]
    assert seen["carol"]["alerts"]["count"] == 0
