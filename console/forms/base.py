"""What all forms share: actions' refusals at their field, and values that stay in the form."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.http import HttpRequest
from django.utils import timezone

from tenants.errors import ActionError, UnavailableError
from tenants.limits import LIMIT_MAX, LIMIT_WORDS

WORDS_MAX: Final = 500  # of a reason or a note
DAYS_MAX: Final = 3_650


class PlaneForm(forms.Form):
    """A form whose action may refuse. `status` is the answer's when it is shown again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.status = 422

    @contextlib.contextmanager
    def refusals(self, **fields: str) -> Iterator[None]:
        """What an action refuses becomes an error of the form; `fields`: its names, if others."""
        try:
            yield
        except ActionError as error:
            field = fields.get(error.field, error.field)
            self.add_error(field if field in self.fields else None, str(error))
            if isinstance(error, UnavailableError):
                self.status = error.status

    @property
    def problem(self) -> str:
        """All that is wrong, in one line."""
        return " ".join(str(error) for errors in self.errors.values() for error in errors)

    @property
    def refused(self) -> bool:
        return self.is_bound and bool(self.errors)


def bound(kind: type[forms.Form], request: HttpRequest, **options: Any) -> Any:
    """The form with what was sent, or empty where nothing was."""
    return kind(request.POST if request.method == "POST" else None, **options)


def lines(text: str) -> list[str]:
    """One value a line, empty lines left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def limit_fields(*, required: bool = False, help_text: str = "") -> dict[str, forms.Field]:
    """A field for each limit. Empty: none of one's own."""
    return {
        f"limit_{name}": forms.IntegerField(
            label=words,
            required=required,
            min_value=0,
            max_value=LIMIT_MAX,
            help_text=help_text,
        )
        for name, words in LIMIT_WORDS.items()
    }


def limits_of(cleaned: dict[str, Any]) -> dict[str, int]:
    """The limits that were filled in, by name."""
    found = {name: cleaned.get(f"limit_{name}") for name in LIMIT_WORDS}
    return {name: value for name, value in found.items() if value is not None}


def hours_from_now(hours: int | None) -> datetime | None:
    """The moment in so many hours; none for none."""
    return None if not hours else timezone.now() + timedelta(hours=hours)
