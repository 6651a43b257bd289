"""Single sign-on by OpenID Connect: authorization code with PKCE, every ID token verified.

The library skips the signature of a token that it has fetched itself; here it is always checked,
and so is that the two answers of the provider speak of one person.
"""

from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base.constants import AuthError
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from requests import RequestException, Timeout
from requests.exceptions import ConnectionError as NoConnection

from console.sign_on_settings import PROVIDER_ID, SignOn
from console.who import address_of
from tenants.actions import sign_on as actions
from tenants.audit import Actor
from tenants.groups import Given, given_by, groups_in

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
CONFIG_KEY: Final = "sign-on.config"
CONFIG_KEPT_S: Final = 300
DOWN_KEPT_S: Final = 5  # a provider that does not answer costs one thread at a time, not all
KEPT_CLAIMS: Final = ("sub", "email", "email_verified", "preferred_username")


class Unavailable(Exception):
    """The provider does not answer, or says what it may not: what it does, and what to do."""


class VerifyingAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # the library is untyped
    """The library's way through OpenID Connect, with our own checks."""

    @property
    def openid_config(self) -> dict[str, Any]:
        kept = cache.get(CONFIG_KEY)
        if kept is not None:
            if "problem" in kept:
                raise Unavailable(kept["problem"])
            return dict(kept)
        try:
            config = dict(super().openid_config)
            check(config, configured())
            cache.set(CONFIG_KEY, config, CONFIG_KEPT_S)
        except (RequestException, ValueError, KeyError, TypeError, Unavailable) as error:
            problem = problem_of(error)
            cache.set(CONFIG_KEY, {"problem": problem}, DOWN_KEPT_S)
            raise Unavailable(problem) from error
        return config

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        text = kwargs["response"].get("id_token")
        if not isinstance(text, str):
            raise OAuth2Error("no id_token came")
        claims = self._decode_id_token(app, text)
        if self.openid_config.get("userinfo_endpoint"):
            told = self._fetch_user_info(token.token)
            if told.get("sub") != claims["sub"]:
                raise OAuth2Error("id_token and userinfo speak of two persons")
            claims = {**told, **claims}
        return self.get_provider().sociallogin_from_response(request, {"userinfo": claims})

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        try:
            algorithm = jwt.get_unverified_header(id_token).get("alg")
        except jwt.PyJWTError as error:
            raise OAuth2Error("the id_token cannot be read") from error
        if algorithm not in ALGORITHMS:
            raise OAuth2Error(f"the id_token is signed by {str(algorithm)[:20]!r}")
        self.did_fetch_access_token = False  # or the library would not look at the signature
        claims: dict[str, Any] = super()._decode_id_token(app, id_token)
        if not isinstance(claims.get("sub"), str) or "exp" not in claims:
            raise OAuth2Error("the id_token lacks sub or exp")
        return claims

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("sign-on-callback"))


class SignOnAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # the library is untyped
    """Whose account it is, whether one is made, and what the groups give."""

    def get_provider(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        provider = super().get_provider(request, *args, **kwargs)
        provider.oauth2_adapter_class = VerifyingAdapter
        return provider

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        sign_on = configured()
        claims = dict(sociallogin.account.extra_data.get("userinfo", {}))
        sociallogin.account.extra_data = {k: claims[k] for k in KEPT_CLAIMS if k in claims}
        sociallogin.email_addresses = []  # an address is for people to read, never a way in
        actor = Actor(None, "sign-on", address_of(request))
        given = given_by(sign_on.mapping, groups_in(claims.get(sign_on.groups_claim)))
        try:
            if not sociallogin.is_existing:
                with transaction.atomic():  # no account is left behind where another was faster
                    sociallogin.connect(request, self.account_for(actor, claims, given, sign_on))
            else:
                SocialAccount.objects.filter(pk=sociallogin.account.pk).update(
                    extra_data=sociallogin.account.extra_data
                )
        except actions.NotAllowedError as error:
            raise ImmediateHttpResponse(refused(request, str(error), 403)) from None
        except IntegrityError:
            text = "You have just signed on somewhere else for the first time. Do it once more."
            raise ImmediateHttpResponse(refused(request, text, 409)) from None
        if sociallogin.user.is_active:
            actions.apply_groups(actor, user=sociallogin.user, given=given)
            sociallogin.user.refresh_from_db()

    def account_for(
        self, actor: Actor, claims: dict[str, Any], given: Given, sign_on: SignOn
    ) -> Any:
        email = str(claims.get("email") or "")
        waiting = actions.waiting_for(email, claims.get("email_verified") is True)
        if waiting is not None:
            return waiting
        if sign_on.creates == "everybody" or (sign_on.creates == "mapped" and given):
            name = str(claims.get("preferred_username") or email or claims["sub"])
            return actions.make_account(actor, name=name, email=email)
        raise actions.NotAllowedError(
            "There is no account for you here. Ask an operator to make one with your email address."
        )

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        from console.trail import note_failure

        why = "cancelled" if error == AuthError.CANCELLED else str(exception or error)[:300]
        note_failure(request, "", f"sign-on: {why}")
        text = "The sign-on was not completed. Try again, or sign in with a password."
        raise ImmediateHttpResponse(refused(request, text, 401))


def configured() -> SignOn:
    """Raises Http404: there is no single sign-on here."""
    found: SignOn | None = settings.SIGN_ON
    if found is None:
        raise Http404("there is no single sign-on here")
    return found


def check(config: dict[str, Any], sign_on: SignOn) -> None:
    """What a provider says of itself.

    Raises:
        Unavailable: it is another one, or browsers would not follow to its page.
    """
    issuer = str(config["issuer"])
    if issuer.rstrip("/") != sign_on.issuer:
        raise Unavailable(
            f"is another one than ENSEMBLE_OIDC_ISSUER says: its issuer is {issuer[:200]!r}"
        )
    page = urlsplit(str(config["authorization_endpoint"]))
    origin = f"{page.scheme}://{page.netloc}"
    if origin not in sign_on.origins:  # the page's policy: the browser would stop without a word
        raise Unavailable(
            f"has its sign-in page at {origin[:200]}, where this console may not lead: an operator "
            "has to name that in ENSEMBLE_OIDC_ORIGINS"
        )


def problem_of(error: Exception) -> str:
    """What is wrong with the provider, behind its name."""
    if isinstance(error, Unavailable):
        return str(error)
    if isinstance(error, Timeout):
        return "does not answer in time"
    if isinstance(error, NoConnection):
        return f"does not answer: there is no connection to {configured().issuer}"
    return f"does not answer as it should: {str(error)[:200]}"


def refused(request: HttpRequest, text: str, status: int) -> HttpResponse:
    context = {"title": "Not signed in", "text": text}
    return render(request, "console/pages/error.html", context, status=status)


def through(request: HttpRequest, view: Any) -> HttpResponse:
    """The library's view with our adapter; a provider that is down is an answer, too."""
    configured()
    try:
        answer: HttpResponse = view.adapter_view(VerifyingAdapter(request, PROVIDER_ID))(request)
    except (Unavailable, RequestException) as error:
        text = f"{configured().name} {problem_of(error)}."
        return refused(request, f"{text} Try again soon, or sign in with a password.", 503)
    except (KeyError, ValueError, TypeError, jwt.PyJWTError):  # what a provider may send
        return refused(request, f"{configured().name} gave an answer that makes no sense.", 502)
    return answer


def begin(request: HttpRequest) -> HttpResponse:
    """Lead the browser to the provider."""
    return through(request, OAuth2LoginView)


def callback(request: HttpRequest) -> HttpResponse:
    """It comes back with a code."""
    return through(request, OAuth2CallbackView)
