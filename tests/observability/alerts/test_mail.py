"""Alerts by mail, through a real server: taken, refused, hanging, dripping, down."""

import asyncio
import email
import email.policy
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from observability.alerts import deliver, outbox, smtp
from observability.alerts.deliver import TRIES_MAX
from observability.alerts.webhook import RefusedError
from observability.models import Delivery, Lease
from observability.store import LEASE
from tenants.actions import channels
from tenants.audit import PLANE
from tenants.models import AlertChannel
from tests.ports import free_port
from tests.server.authority import Authority

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
USER, PASSWORD = "ensemble", "of the mail server"
TO = ["night@ops.example", "day@ops.example"]
Line = Callable[[socket.socket], None]


class Office:
    """Takes letters; whom it refuses, and how, can be set."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], EmailMessage, bytes]] = []
        self.refuses: dict[str, str] = {}
        self.sealed: list[bool] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        raw = envelope.content
        letter = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append((list(envelope.rcpt_tos), letter, raw))
        self.sealed.append(session.ssl is not None and session.authenticated)
        return "250 OK"


def knows(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and data == LoginPassword(
        USER.encode(), PASSWORD.encode()
    )
    return AuthResult(success=right, handled=False)


@pytest.fixture
def office(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A server that wants STARTTLS and a password, and settings that have them."""
    authority = Authority(tmp_path)
    pem, _ = authority.issue("mail")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pem))
    office = Office()
    controller = Controller(
        office,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=knows,
        auth_required=True,
    )
    controller.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    use(settings, controller.port, tls=True)
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = USER, PASSWORD
    yield office
    controller.stop()


def use(settings: Any, port: int, tls: bool = False) -> None:
    settings.EMAIL_BACKEND = "observability.alerts.smtp.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "localhost", port
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = tls, False
    settings.DEFAULT_FROM_EMAIL = "ensemble@ops.example"


@pytest.fixture
def channel(db: None) -> AlertChannel:
    Lease.objects.create(name=LEASE, holder="test", term=1)
    return channels.make(PLANE, name="night", kind="mail", addresses=TO)[0]


def send(row: Delivery) -> Delivery:
    """One round at the time when it is due; the row as it is then."""
    (parcel,) = deliver.due(row.next_try_at)
    answer, error = "", None
    try:
        answer = asyncio.run(deliver.send(parcel))
    except RefusedError as refused:
        error = refused
    deliver.settle(1, parcel, answer, error, row.next_try_at)
    row.refresh_from_db()
    return row


def tried_until_the_end(row: Delivery) -> list[int]:
    """Round after round; how long it waited for each."""
    waits = []
    while row.status == Delivery.Status.WAITING:
        before = row.next_try_at
        send(row)
        waits.append(row.next_try_at - before)
    return waits


def test_a_letter_goes_sealed_and_signed_in_and_the_log_says_so(
    office: Office, channel: AlertChannel
) -> None:
    row = send(outbox.test(channel))
    assert (row.status, row.tries, row.answer) == ("sent", 1, "handed over to 2 addresses")
    ((to, letter, _),) = office.letters
    assert office.sealed == [True]
    assert to == TO
    assert letter["From"] == "ensemble@ops.example"
    assert letter["To"] == ", ".join(TO)
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Ensemble-Message"] == row.body["id"]
    assert letter["Subject"] == (
        "[note] test: This is a test of the channel night. Nothing is wrong."
    )


def test_headers_are_ours_and_every_language_comes_as_it_was_written(
    office: Office, channel: AlertChannel
) -> None:
    row = outbox.test(channel)
    summary = "zürich 数据 Ωμέγα 🙂\r\nBcc: eve@x.example\u2028X-Evil: 1\x85Y-Evil: 2\n\n.\r\nDATA"
    body = {**row.body, "summary": summary, "tenant": "t\r\nBcc: eve@x.example"}
    body |= {"event": "test", "node": "ключ\r\n.\r\nMAIL FROM:<eve@x.example>"}
    Delivery.objects.filter(pk=row.pk).update(body=body)
    row.refresh_from_db()
    assert send(row).status == "sent"
    ((to, letter, raw),) = office.letters
    assert to == TO, "nobody else gets it"
    names = {name.lower() for name in letter.keys()}  # noqa: SIM118  # a letter is no dict
    assert names == {
        "subject", "from", "to", "date", "message-id", "mime-version", "content-type",
        "content-transfer-encoding", "auto-submitted", "ensemble-message",
    }  # fmt: skip
    assert (
        letter["Subject"].strip().startswith("[note] test: zürich 数据 Ωμέγα 🙂 Bcc: eve@x.example")
    )
    assert raw.partition(b"\r\n\r\n")[0].isascii()
    text = letter.get_content()
    assert "zürich 数据 Ωμέγα 🙂" in text
    assert "\n.\n" in text.replace("\r\n", "\n"), "a dot alone ends nothing"
    assert text.rstrip().endswith(f"(message {row.body['id']})")


def test_who_is_refused_is_named_and_the_others_have_it_once(
    office: Office, channel: AlertChannel
) -> None:
    office.refuses = {TO[0]: "550 5.1.1 nobody of this name"}
    row = send(outbox.test(channel))
    assert (row.status, row.tries) == ("sent", 1)
    assert row.answer == (
        "handed over to 1 of 2 addresses; night@ops.example: 550 5.1.1 nobody of this name"
    )
    assert [to for to, _, _ in office.letters] == [[TO[1]]]


def test_where_all_are_refused_it_is_tried_again_to_its_bound(
    office: Office, channel: AlertChannel
) -> None:
    office.refuses = dict.fromkeys(TO, "451 4.7.1 come back later")
    row = outbox.test(channel)
    assert tried_until_the_end(row)[:3] == [20_000, 40_000, 80_000]
    assert (row.status, row.tries) == ("given-up", TRIES_MAX)
    assert row.answer == (
        "the mail was not taken: day@ops.example: 451 4.7.1 come back later; "
        "night@ops.example: 451 4.7.1 come back later"
    )
    assert office.letters == []


def test_a_server_that_takes_it_later_has_it_once(office: Office, channel: AlertChannel) -> None:
    office.refuses = dict.fromkeys(TO, "451 4.7.1 come back later")
    row = send(send(outbox.test(channel)))
    office.refuses = {}
    send(row)
    assert (row.status, row.tries, len(office.letters)) == ("sent", 3, 1)


def test_a_wrong_password_is_the_servers_words_and_never_ours(
    office: Office, channel: AlertChannel, settings: Any
) -> None:
    settings.EMAIL_HOST_PASSWORD = "something else"
    row = send(outbox.test(channel))
    assert row.status == "waiting"
    assert row.answer.startswith("the mail was not taken: 535 5.7.8")
    assert "something else" not in row.answer
    assert office.letters == []


def test_a_certificate_that_nobody_vouches_for_gets_no_password(
    office: Office, channel: AlertChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    row = send(outbox.test(channel))
    assert "certificate verify failed" in row.answer
    assert office.letters == []


@pytest.fixture
def answering() -> Iterator[Callable[[Line], int]]:
    """A port where each connection is talked to by a function of the test's."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    talks: list[Line] = []

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                try:
                    talks[0](link)
                except OSError:
                    pass

    def start(talk: Line) -> int:
        talks.append(talk)
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return int(listener.getsockname()[1])

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(30)


def silent(link: socket.socket) -> None:
    link.recv(1)  # until the other end goes


def test_a_server_that_says_nothing_is_left_alone_in_time(
    channel: AlertChannel,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    answering: Callable[[Line], int],
) -> None:
    monkeypatch.setattr(deliver, "MAIL_TIMEOUT_S", 0.2)
    use(settings, answering(silent))
    row = send(outbox.test(channel))
    assert (row.status, row.tries) == ("waiting", 1)
    assert row.answer == "the mail was not taken: Connection unexpectedly closed: timed out"


@pytest.mark.parametrize("greeting", [b"", b"220 here\r\n"])
def test_a_server_that_drips_is_left_alone_in_time(
    greeting: bytes,
    channel: AlertChannel,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    answering: Callable[[Line], int],
) -> None:
    """Each byte comes in time, the line never ends."""
    monkeypatch.setattr(smtp, "DEADLINE_S", 0.5)
    over = threading.Event()

    def drip(link: socket.socket) -> None:
        link.sendall(greeting)
        while not over.wait(0.02):
            link.sendall(b"2")

    use(settings, answering(drip))
    row = send(outbox.test(channel))
    over.set()
    assert row.status == "waiting"
    assert re.search("had not taken it after", row.answer), row.answer


def test_a_server_without_starttls_gets_neither_letter_nor_password(
    channel: AlertChannel, settings: Any, answering: Callable[[Line], int]
) -> None:
    heard: list[bytes] = []

    def listening(link: socket.socket) -> None:
        link.sendall(b"220 here\r\n")
        while piece := link.recv(1_000):
            heard.append(piece)
            link.sendall(b"250 hello\r\n")

    use(settings, answering(listening), tls=True)
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = USER, PASSWORD
    row = send(outbox.test(channel))
    assert row.answer.startswith("the mail was not taken: STARTTLS extension not supported")
    assert all(piece[:4].upper() in (b"EHLO", b"HELO", b"QUIT") for piece in heard), heard


def test_a_server_that_is_down_is_tried_again_and_given_up_in_the_end(
    channel: AlertChannel, settings: Any
) -> None:
    use(settings, free_port())
    row = outbox.test(channel)
    assert len(tried_until_the_end(row)) == TRIES_MAX
    assert row.status == "given-up"
    assert "Connection refused" in row.answer


def test_no_thread_is_left_to_watch_a_letter_that_is_done(
    office: Office, channel: AlertChannel
) -> None:
    send(outbox.test(channel))
    office.refuses = dict.fromkeys(TO, "550 no")
    send(outbox.test(channel))
    left = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert [one for one in left if not one.finished.is_set()] == []
