"""Where a job's files are, and what all of them take."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from django.conf import settings
from django.http import StreamingHttpResponse

from tenants.bulk.bounds import FILE_BYTES_MAX, FOLDER_BYTES_MAX
from tenants.bulk.steps import private
from tenants.errors import InvalidError, LimitError
from tenants.models import Job

PLAN: Final = "plan.jsonl.gz"
UPLOAD: Final = "upload"
DOWNLOAD: Final = "download"
REFUSED: Final = "refused"
CHUNK: Final = 1 << 16
YOUNG_S: Final = 3_600.0  # a folder comes before its row


def root() -> Path:
    return Path(settings.VAR) / "jobs"


def folder(job: Job) -> Path:
    """The job's own folder, made where it is not there."""
    found = root() / job.key
    root().mkdir(mode=0o700, parents=True, exist_ok=True)
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def file(job: Job, name: str) -> Path:
    return root() / job.key / name


def remove(job: Job) -> None:
    shutil.rmtree(root() / job.key, ignore_errors=True)


def kept_bytes() -> int:
    """What all files take together."""
    if not root().is_dir():
        return 0
    return sum(one.stat().st_size for one in root().rglob("*") if one.is_file())


def check_room() -> None:
    """Raises LimitError where no more files are kept."""
    if kept_bytes() > FOLDER_BYTES_MAX:
        raise LimitError(
            f"jobs' files take {FOLDER_BYTES_MAX >> 30} GiB, no more are kept: remove jobs that "
            "nobody needs any more"
        )


def take_upload(job: Job, sent: IO[bytes]) -> int:
    """Keep what was sent; its bytes.

    Raises:
        InvalidError: it is empty or too large. Nothing is kept.
    """
    size = 0
    with private(folder(job) / UPLOAD) as kept:
        while chunk := sent.read(CHUNK):
            size += len(chunk)
            if size > FILE_BYTES_MAX:
                break
            kept.write(chunk)
    if size > FILE_BYTES_MAX:
        remove(job)
        raise InvalidError(
            f"the file has more than {FILE_BYTES_MAX >> 20} MiB: send it in parts", field="file"
        )
    if not size:
        remove(job)
        raise InvalidError("the file is empty: choose another one", field="file")
    return size


def chunks(place: Path) -> Iterator[bytes]:
    """A file's bytes; it is open only while somebody reads."""
    with place.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            yield chunk


def download(job: Job) -> StreamingHttpResponse | None:
    """The file of an export, as a download whatever is in it; None where there is none."""
    place = file(job, DOWNLOAD)
    if not job.file_name or not place.is_file():
        return None
    response = StreamingHttpResponse(chunks(place), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{job.file_name}"'
    response["Content-Length"] = str(place.stat().st_size)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def sweep() -> int:
    """Remove folders that no job has any more; how many."""
    if not root().is_dir():
        return 0
    old_s = time.time() - YOUNG_S
    found = {
        one.name: one for one in root().iterdir() if one.is_dir() and one.stat().st_mtime < old_s
    }
    known = set(Job.objects.filter(key__in=list(found)).values_list("key", flat=True))
    gone = [place for name, place in found.items() if name not in known]
    for place in gone:
        shutil.rmtree(place, ignore_errors=True)
    return len(gone)
