"""The kept journal in pages: from a cursor on, so many lines, of one tenant or of all.

Runs beside the server's loop and without its state: it reads the files. A cursor names segment and
line; what it names may have been removed meanwhile, and then the reader hears from where the
journal is kept.
"""

import os
import re
from typing import BinaryIO, Final, final

from ensemble.errors import StorageError
from ensemble.server.audit_chain import quoted, segment_name, segments
from ensemble.tenancy.journal_line import LINE_BYTES_MAX

LINES_MAX: Final = 10_000  # of one page
PAGE_BYTES_MAX: Final = 4 << 20  # that a page holds
NEAR_BYTES: Final = 64 << 10  # that are read over in search of a line
SCAN_BYTES_MAX: Final = 16 << 20  # that are looked at for one page, if nearly none is wanted
CURSOR: Final = re.compile(r"(\d{1,12}):(\d{1,18})")
SEQ: Final = re.compile(rb'\{"seq":(\d{1,18}),')


@final
class Page:
    """Lines as they stand in the files. `gone`: the cursor is older than what is kept."""

    def __init__(self, segment: int, seq: int) -> None:
        self.lines: list[bytes] = []
        self.segment = segment  # the cursor behind the page
        self.seq = seq
        self.more = False
        self.gone = False

    @property
    def cursor(self) -> str:
        return f"{self.segment}:{self.seq}"


def read_cursor(text: str) -> tuple[int, int]:
    """Segment and line; the journal's beginning where the text is empty.

    Raises:
        ValueError: it is no cursor.
    """
    if not text:
        return 0, 0
    found = CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"after={text[:40]!r}, <segment>:<seq> is expected, such as 3:1200")
    return int(found[1]), int(found[2])


def seek_behind(file: BinaryIO, seq: int) -> None:
    """Stand at a line at or before the first one behind `seq`, some NEAR_BYTES before at most.

    Numbers rise within a segment. Who follows a journal asks for its end every half second: that
    must not read the whole segment.
    """
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > NEAR_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(LINE_BYTES_MAX)  # the rest of a line
        at = file.tell()
        found = SEQ.match(file.readline(LINE_BYTES_MAX))
        if at < high and found is not None and int(found[1]) <= seq:
            low = at
        else:
            high = middle
    file.seek(low)


def read_page(folder: str, segment: int, seq: int, limit: int, tenant: str) -> Page:
    """The lines behind a cursor; only what has been written to its end.

    Raises:
        StorageError: the disk cannot read.
    """
    numbers = segments(folder)
    page = Page(segment, seq)
    if not numbers:
        return page
    if segment and segment < numbers[0]:
        page.gone = True
        page.segment, page.seq = numbers[0], 0
        return page
    mark = f'"tenant":{quoted(tenant)},'.encode() if tenant else b""
    left = SCAN_BYTES_MAX
    room = PAGE_BYTES_MAX
    for number in numbers:
        if number < segment:
            continue
        path = os.path.join(folder, segment_name(number))
        try:
            with open(path, "rb") as file:
                if number == segment:
                    seek_behind(file, seq)
                while raw := file.readline(LINE_BYTES_MAX):
                    if not raw.endswith(b"\n"):
                        break
                    found = SEQ.match(raw)
                    # Behind a damaged segment, which is left as it is, numbers go back.
                    if found is None or (number == segment and int(found[1]) <= seq):
                        continue
                    if len(page.lines) >= limit or left <= 0 or room <= 0:
                        page.more = True
                        return page
                    left -= len(raw)
                    page.segment, page.seq = number, int(found[1])
                    if not mark or mark in raw:
                        room -= len(raw)
                        page.lines.append(raw)
        except FileNotFoundError:
            continue  # the oldest went just now: the next request hears of it
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None
    return page
