"""Addresses of work on subtrees, in each of the three trees, and of jobs."""

from django.urls import URLPattern, path

from console.routes_bulk import OPERATIONS
from console.views import bulk, jobs


def operations(root: str, prefix: str) -> list[URLPattern]:
    """Those of one tree: `root` of its addresses, `prefix` of its routes' names."""
    return [
        path(
            f"{root}znodes/{name}",
            bulk.at_time if name == "at-time" else bulk.ask,
            {} if name == "at-time" else {"operation": name},
            name=f"{prefix}znode-{name}",
        )
        for name in OPERATIONS
    ]


urlpatterns = [
    *operations("", ""),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/<str:key>", jobs.job, name="job"),
    path("jobs/<str:key>/file", jobs.download, name="job-file"),
    path("jobs/<str:key>/confirm", jobs.confirm, name="job-confirm"),
    path("jobs/<str:key>/resume", jobs.resume, name="job-resume"),
    path("jobs/<str:key>/cancel", jobs.cancel, name="job-cancel"),
    path("jobs/<str:key>/undo", jobs.undo, name="job-undo"),
    path("jobs/<str:key>/remove", jobs.remove, name="job-remove"),
]
