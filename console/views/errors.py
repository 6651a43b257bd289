"""Answers to what went wrong: a page for people, JSON for scripts, both saying what to do next."""

from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import is_valid_path

from console.access import wants_json
from tenants.api import problems

CODES: Final = {400: "refused", 403: "permission_denied", 404: "not_found", 500: "failed"}


def page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.plain(status, CODES[status], text)
    if wants_json(request):
        return JsonResponse({"error": text}, status=status)
    return render(
        request, "console/pages/error.html", {"title": title, "text": text}, status=status
    )


def bad(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 400, "Not understood", "The request cannot be understood.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 403, "Not allowed", str(exception) or "Your account may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    there = without_slash(request)
    if there:
        return redirect(there)
    return page(request, 404, "Not found", "There is no page at this address.")


def without_slash(request: HttpRequest) -> str:
    """The page that is meant where somebody has typed a slash behind its address; else empty."""
    there = request.path.rstrip("/")
    if request.method != "GET" or there == request.path or not is_valid_path(there):
        return ""
    query = request.META.get("QUERY_STRING", "")
    return f"{there}?{query}" if query else there


def failed(request: HttpRequest) -> HttpResponse:
    text = "The console failed on this request. Its log has the details; nothing was changed twice."
    return page(request, 500, "Something went wrong", text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "This page was open for too long, or came from elsewhere. Load it again and repeat."
    return page(request, 403, "Please load the page again", text)
