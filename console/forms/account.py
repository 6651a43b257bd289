"""The library's forms that take a password or a code beside the one to sign in: each is counted."""

from typing import Any

from allauth.account.forms import ChangePasswordForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm

from console import lockouts


class CountedPasswordForm(ChangePasswordForm):  # type: ignore[misc]  # the library is untyped
    """A session that was left open is no way to guess its person's password."""

    def clean_oldpassword(self) -> str:
        name = self.user.get_username()
        request = context.request
        counted = lockouts.count(request, lockouts.PASSWORD, lockouts.folded(name), name)
        password: str = super().clean_oldpassword()
        counted.take_back()
        return password


class Counted:
    """Codes of a second factor, in front of a form that takes one."""

    user: Any

    def clean_code(self) -> str:
        name = self.user.get_username()
        counted = lockouts.count(context.request, lockouts.CODE, str(self.user.pk), name)
        code: str = super().clean_code()  # type: ignore[misc]  # of the form behind
        counted.take_back()
        return code


class CountedCodeForm(Counted, AuthenticateForm):  # type: ignore[misc]  # the library is untyped
    """The second step of a sign-in."""


class CountedProofForm(Counted, ReauthenticateForm):  # type: ignore[misc]  # the library is untyped
    """Asked once more, before something about the account is changed."""
