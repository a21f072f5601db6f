"""Gate in front of the page: what is no request of the page itself ends here, with a sentence."""

from collections import Counter

from proxyclip.apis.web.access import PageAccess
from proxyclip.apis.web.refusals import (
    AsgiApp,
    Message,
    Receive,
    RequestRefused,
    Scope,
    Send,
    send_page,
    send_refusal,
)
from proxyclip.apis.web.request_body import get_announced_size, limit_body
from proxyclip.apis.web.routes import PageRoute, find_route
from proxyclip.apis.web.upload_folder import UploadFolder

_REFRESH = (
    b'<!doctype html><title>Segment</title><meta http-equiv="refresh" content="0; url=/"><p><a href="/">Open</a></p>'
)


class PageGate:
    """ASGI application that passes on what the page's own script sends, within limits.

    Args:
        app: the page.
        access: which hosts, sites and tokens are taken.
        folder: of the uploads; a full one takes none.
    """

    def __init__(self, app: AsgiApp, access: PageAccess, folder: UploadFolder | None = None) -> None:
        self.app = app
        self.access = access
        self.folder = folder
        self._running: Counter[PageRoute] = Counter()
        self._announced = 0  # bytes of uploads that are being read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except RequestRefused as refusal:
                await send_refusal(refusal, scope, receive, send)
        else:  # a web socket, which the page has not got
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path, query = scope["method"], scope["path"], scope["query_string"].decode("latin-1")
        self.access.check_request(method, path, query, scope["scheme"], headers)
        route = find_route(method, path)
        if path == "/" and self.access.has_query_token(query):
            await self._hand_cookie(send)
            return
        if route.max_running is not None and self._running[route] >= route.max_running:
            raise RequestRefused(
                429, f"The page is busy: it answers {route.max_running} others. Try again in a minute."
            )
        self._running[route] += 1
        try:
            limited = await limit_body(route, headers, receive)
            if route.body == "file":
                await self._pass_upload(scope, limited, receive, send, get_announced_size(route, headers))
            else:
                await self.app(scope, limited, send)
        finally:
            self._running[route] -= 1

    async def _hand_cookie(self, send: Send) -> None:
        """Answer the printed link with the cookie, and go on to the page without the token in its address.

        By a refresh and not by a redirect: behind a link in a mail, a browser would keep the cookie back.
        """
        cookie = f"{self.access.cookie}={self.access.token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [
            (b"set-cookie", cookie.encode()),
            (b"content-type", b"text/html; charset=utf-8"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ]
        await send_page(send, 200, headers, _REFRESH)

    async def _pass_upload(self, scope: Scope, limited: Receive, receive: Receive, send: Send, size: int) -> None:
        """Pass an upload on; gradio's answer to one that turns out as refused gives way to the sentence."""
        if self.folder is not None:
            self.folder.check_space(self._announced + size)
        answers: list[Message] = []

        async def hold(message: Message) -> None:
            answers.append(message)

        self._announced += size
        try:
            await self.app(scope, limited, hold)
        except Exception:
            if getattr(limited, "refusal", None) is None:
                raise
        finally:
            self._announced -= size
        refusal = getattr(limited, "refusal", None)
        if refusal is not None:
            await send_refusal(refusal, scope, receive, send)
            return
        for message in answers:
            await send(message)
