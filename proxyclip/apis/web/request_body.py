"""Limits on what is sent to the page: bytes, files in an upload, lists in one another."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from proxyclip.apis.web.refusals import Message, Receive, RequestRefused
from proxyclip.apis.web.routes import MAX_UPLOAD_MB, PageRoute

MAX_JSON_DEPTH = 20
MAX_SESSION_LETTERS = 64
MAX_PAUSE_SECONDS = 30.0  # of an upload: between two pieces,
MAX_BODY_SECONDS = 240.0  # and all of it
ONE_FILE = "Expected one picture in an upload, and nothing else beside it: send pictures one by one."


async def limit_body(route: PageRoute, headers: Mapping[str, str], receive: Receive) -> Receive:
    """Return a `receive` of a body within the limits of its route.

    A JSON body is read and checked here; that of an upload, while it is read.

    Raises:
        RequestRefused: more bytes are announced, or a JSON body that the page never sends.
    """
    if get_announced_size(route, headers) > route.max_bytes:
        raise _too_large(route)
    if route.body == "file":
        return _CheckedUpload(route, headers.get("content-type", ""), receive)
    body = await _read_body(route, receive)
    if route.body == "json":
        check_event(body)
    return _replay_body(body, receive)


def get_announced_size(route: PageRoute, headers: Mapping[str, str]) -> int:
    """Bytes that a body will have, by its header; the most that its route takes without one."""
    length = headers.get("content-length", "")
    return int(length[:18]) if length.isdecimal() else route.max_bytes


def check_event(body: bytes) -> None:
    """Raise RequestRefused for a JSON body that is none, or none of the page."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestRefused(400, "Expected JSON as the page sends it, but it cannot be read.") from None
    if not isinstance(event, dict) or _is_deeper(event, MAX_JSON_DEPTH):
        raise RequestRefused(400, f"Expected a JSON object of at most {MAX_JSON_DEPTH} levels, as the page sends it.")
    session = event.get("session_hash")
    if session is not None and not (isinstance(session, str) and len(session) <= MAX_SESSION_LETTERS):
        raise RequestRefused(400, f"Expected a session of at most {MAX_SESSION_LETTERS} letters: load the page again.")


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner: list[Any] = []
        for entry in level:
            if isinstance(entry, (dict, list)):
                inner.extend(entry.values() if isinstance(entry, dict) else entry)
        level = inner
    return any(isinstance(entry, (dict, list)) for entry in level)


def _too_large(route: PageRoute) -> RequestRefused:
    if route.body == "file":
        return RequestRefused(413, f"Expected a picture of at most {MAX_UPLOAD_MB} MB: reduce it first.")
    if route.body == "none":
        return RequestRefused(413, "Expected no content in this request.")
    return RequestRefused(413, f"Expected at most {route.max_bytes} bytes in this request: name fewer classes.")


async def _read_body(route: PageRoute, receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > route.max_bytes:
            raise _too_large(route)
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


def _replay_body(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()  # then the end of the connection

    return replay


class _CheckedUpload:
    """The body of an upload, counted and looked into as it is read.

    What is refused raises starlette's MultiPartException, on which gradio removes what it has written; `refusal` keeps
    the sentence.
    """

    def __init__(self, route: PageRoute, content_type: str, receive: Receive) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise RequestRefused(400, "Expected a picture as a browser's form sends it.")
        self.refusal: RequestRefused | None = None
        self._route = route
        self._receive = receive
        self._size = 0
        self._start = time.monotonic()
        self._parts = 0
        self._header = (b"", b"")  # the last one's name and value
        self._is_file = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._read_header_name,
                "on_header_value": self._read_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
            },
        )

    async def __call__(self) -> Message:
        from python_multipart.exceptions import FormParserError
        from starlette.formparsers import MultiPartException

        data = b""
        message: Message = {}
        try:
            message = await asyncio.wait_for(self._receive(), MAX_PAUSE_SECONDS)
            data = message.get("body", b"")
            self._size += len(data)
            if time.monotonic() - self._start > MAX_BODY_SECONDS:
                raise asyncio.TimeoutError
            if self._size > self._route.max_bytes:
                raise _too_large(self._route)
            self._parser.write(data)
            is_end = message["type"] == "http.request" and not message.get("more_body")
            if is_end and not self._is_file:
                raise RequestRefused(400, ONE_FILE)
        except RequestRefused as error:
            self.refusal = error
        except asyncio.TimeoutError:
            self.refusal = RequestRefused(408, "The picture took too long to arrive: try again, or reduce it first.")
        except FormParserError:
            self.refusal = RequestRefused(400, "Expected a picture as a browser's form sends it.")
        if self.refusal is not None:
            raise MultiPartException(self.refusal.sentence)
        return message

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise RequestRefused(413, ONE_FILE)

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        from python_multipart.multipart import parse_options_header

        name, value = self._header
        if name.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(value)[1]
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        if not self._is_file:
            raise RequestRefused(413, ONE_FILE)
