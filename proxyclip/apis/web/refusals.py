"""Answers of the page to requests that it does not take: a status and a sentence."""

import asyncio
import html
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_DRAINED_BYTES = 32 * 2**20  # of a refused body: a client that still sends would miss the answer
MAX_DRAIN_SECONDS = 2.0  # between two pieces of it
JSON_PATHS = ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset")


class RequestRefused(Exception):
    """A request that the page does not take.

    Args:
        status: of HTTP; sentence: for the person who sent it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


async def send_refusal(refusal: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the sentence of a refusal, and end the connection without reading the rest of the body.

    The page's own script shows `detail` of JSON; a person who opened an address gets text.
    """
    if scope["path"].rstrip("/") in JSON_PATHS:
        body, kind = json.dumps({"detail": refusal.sentence}).encode(), "application/json"
    elif scope["method"] == "GET" and scope["path"] == "/":
        text = html.escape(refusal.sentence, quote=False)
        body, kind = f"<!doctype html><title>Refused</title><p>{text}</p>".encode(), "text/html; charset=utf-8"
    else:
        body, kind = refusal.sentence.encode(), "text/plain; charset=utf-8"
    headers = [(b"content-type", kind.encode()), (b"connection", b"close"), (b"cache-control", b"no-store")]
    await send_page(send, refusal.status, headers, body, more_body=True)
    await _drain_body(receive)
    await send({"type": "http.response.body", "body": b""})


async def send_page(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, more_body: bool = False
) -> None:
    """Send a whole answer; `more_body` leaves it open."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


async def _drain_body(receive: Receive) -> None:
    """Read a little of what is still sent."""
    size = 0
    while size < MAX_DRAINED_BYTES:
        try:
            message = await asyncio.wait_for(receive(), MAX_DRAIN_SECONDS)
        except asyncio.TimeoutError:
            return
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return
