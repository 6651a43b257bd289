"""Answers to what went wrong: a page for people, JSON for scripts, both saying what to do next."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from console.access import wants_json


def page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"error": text}, status=status)
    return render(
        request, "console/pages/error.html", {"title": title, "text": text}, status=status
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 403, "Not allowed", str(exception) or "Your account may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 404, "Not found", "There is no page at this address.")


def failed(request: HttpRequest) -> HttpResponse:
    text = "The console failed on this request. Its log has the details; nothing was changed twice."
    return page(request, 500, "Something went wrong", text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "This page was open for too long, or came from elsewhere. Load it again and repeat."
    return page(request, 403, "Please load the page again", text)
