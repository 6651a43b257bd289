"""A connection to the mail server that ends in time, and tells who was refused.

Django's waits for each piece of an answer anew, so that a server that drips holds a thread for
hours; and it drops whom a server refuses while it takes the letter for others.
"""

import contextlib
import smtplib
import socket
import threading
from typing import Any, Final

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

DEADLINE_S: Final = 60.0  # of a whole letter, with connecting and signing in
WORDS_MAX: Final = 200  # of one answer of the server
SHOWN_MAX: Final = 3  # of those who were refused

Refused = dict[str, tuple[int, bytes]]


class Bounded:
    """In front of one of smtplib's clients: cut off at the deadline, whatever comes."""

    sock: socket.socket | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.refused: Refused = {}
        self.is_cut = False
        self._watch: Final = threading.Timer(DEADLINE_S, self._cut)
        self._watch.daemon = True
        self._watch.start()
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            self._watch.cancel()
            if self.is_cut:
                raise late() from None
            raise

    def _cut(self) -> None:
        self.is_cut = True
        if self.sock is not None:
            with contextlib.suppress(OSError):  # beneath TLS, too: nobody waits for a goodbye
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def sendmail(self, *args: Any, **kwargs: Any) -> Refused:
        self.refused = super().sendmail(*args, **kwargs)  # type: ignore[misc]  # of the one behind
        return self.refused

    def close(self) -> None:
        self._watch.cancel()
        super().close()  # type: ignore[misc]  # of the one behind


class Plain(Bounded, smtplib.SMTP):
    """With STARTTLS, where that is set."""


class Tls(Bounded, smtplib.SMTP_SSL):
    """TLS from the first byte."""


class Backend(EmailBackend):
    """Django's, with a client of ours; EMAIL_BACKEND names it."""

    made: Plain | Tls | None = None

    @property
    def connection_class(self) -> Any:
        return self._make

    def _make(self, *args: Any, **kwargs: Any) -> Plain | Tls:
        self.made = Tls(*args, **kwargs) if self.use_ssl else Plain(*args, **kwargs)
        return self.made

    def deliver(self, letter: EmailMessage) -> Refused:
        """Who was refused, while somebody was not.

        Raises:
            OSError: it was not taken, for anybody.
        """
        letter.connection = self
        try:
            letter.send()
        except Exception:
            if self.made is not None and self.made.is_cut:
                raise late() from None
            raise
        finally:
            if self.made is not None:
                self.made.close()
        return {} if self.made is None else self.made.refused


def late() -> OSError:
    return TimeoutError(f"the mail server had not taken it after {DEADLINE_S:.0f} s")


def words_of(error: Exception) -> str:
    """What a server said, or what became of the connection, for people."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return refusals(error.recipients)
    if isinstance(error, smtplib.SMTPResponseException):
        return answer_of(error.smtp_code, error.smtp_error)
    return str(error) or type(error).__name__


def refusals(refused: Refused) -> str:
    """Who, and with which words; the rest is a number."""
    said = [f"{who}: {answer_of(*answer)}" for who, answer in sorted(refused.items())]
    more = len(said) - SHOWN_MAX
    return "; ".join(said[:SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")


def answer_of(code: int, words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())[:WORDS_MAX]}".strip()
