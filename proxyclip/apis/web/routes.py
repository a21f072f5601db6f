"""Routes of gradio that the page uses, with the largest body that each takes; no other one exists."""

import re
from dataclasses import dataclass
from typing import Any

from proxyclip.apis.web.refusals import RequestRefused

MAX_UPLOAD_MB = 20  # of an uploaded file
MAX_UPLOAD_BYTES = MAX_UPLOAD_MB * 2**20 + 2**16  # with its frame
MAX_EVENT_BYTES = 2**20  # values of all controls
MAX_NOTE_BYTES = 2**12


@dataclass(frozen=True)
class PageRoute:
    """A route: its methods, a pattern of its path, and the bytes that a body may have.

    Args:
        body: its form: none, json or file.
        max_running: requests that are answered at a time; None for those that take no time, or wait.
    """

    methods: tuple[str, ...]
    path: re.Pattern[str]
    body: str = "none"
    max_bytes: int = 0
    max_running: int | None = None


def _declare_route(methods: str, path: str, *limits: Any) -> PageRoute:
    return PageRoute(tuple(methods.split()), re.compile(path), *limits)


PAGE_ROUTES = (
    _declare_route("GET HEAD", r"/"),
    _declare_route("GET HEAD", r"/(assets|static)/.+"),
    _declare_route("GET HEAD", r"/(theme\.css|favicon\.ico|config)"),
    _declare_route("GET", r"/gradio_api/(app_id|upload_progress|queue/data)"),
    _declare_route("GET", r"/gradio_api/heartbeat/[\w-]{1,64}"),
    _declare_route("POST", r"/gradio_api/upload", "file", MAX_UPLOAD_BYTES, 32),
    # Events outside of the lines; gradio refuses here those that belong into one.
    _declare_route("POST", r"/gradio_api/run/predict", "json", MAX_EVENT_BYTES, 16),
    _declare_route("POST", r"/gradio_api/queue/join", "json", MAX_EVENT_BYTES),
    _declare_route("POST", r"/gradio_api/(cancel|reset)", "json", MAX_NOTE_BYTES),
)


def find_route(method: str, path: str) -> PageRoute:
    """Return the route of a request.

    Raises:
        RequestRefused: the page has no such route (404), or not with this method (405).
    """
    routes = [route for route in PAGE_ROUTES if route.path.fullmatch(path)]
    if not routes:
        raise RequestRefused(404, f"This page has no address {path[:100]!r}: it has what a browser needs to show it.")
    allowed = next((route for route in routes if method in route.methods), None)
    if allowed is None:
        raise RequestRefused(
            405, f"Expected {' or '.join(routes[0].methods)} at {path[:100]!r}, but got {method[:20]}."
        )
    return allowed
