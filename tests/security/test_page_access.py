"""Only this machine's own page is answered; another host asks for the token of its link; each refusal is a sentence."""

import asyncio
import re
from urllib.parse import urlencode

import pytest

from proxyclip.apis.web import WebSettings
from proxyclip.apis.web.access import PageAccess, list_page_hosts, make_access
from proxyclip.apis.web.gate import PageGate
from proxyclip.apis.web.routes import MAX_UPLOAD_BYTES, find_route
from proxyclip.apis.web.upload_folder import UploadFolder

LOCAL = PageAccess()
GUARDED = PageAccess(is_local=False, token="a-secret", cookie="proxyclip-page-1")
OPEN = PageAccess(is_local=False, names=frozenset({"localhost", "mybox"}))
JOIN = "/gradio_api/queue/join"
UPLOAD = "/gradio_api/upload"
FORM = "multipart/form-data; boundary=b"


class Answer:
    """What a gate sends for a request, and whether the page behind it has got it."""

    def __init__(self, access, method="GET", path="/", query="", body=(), **headers):
        self.passed = False
        self.read = b""
        self.sent = []
        self.pieces = [bytes(piece) for piece in ([body] if isinstance(body, bytes) else body)] or [b""]
        headers = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = dict(type="http", method=method, path=path, query_string=query.encode(), scheme="http", headers=raw)
        asyncio.run(PageGate(self._page, access)(scope, self._receive, self._send))
        start = self.sent[0]
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.text = b"".join(message["body"] for message in self.sent[1:]).decode()

    async def _page(self, scope, receive, send):
        more = True
        while more:
            message = await receive()
            self.read += message.get("body", b"")
            more = message.get("more_body", False)
        self.passed = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the page"})

    async def _receive(self):
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def _send(self, message):
        self.sent.append(message)


def assert_refused(answer, status, text):
    assert answer.status == status and not answer.passed
    assert re.search(text, answer.text), answer.text
    assert re.search(r"[A-Z].+[.]", answer.text)  # a sentence


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/run/segment"), ("POST", "/gradio_api/api/predict"), ("POST", "/gradio_api/call/segment"),
        ("POST", "/gradio_api/call/v2/segment"), ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"), ("GET", "/gradio_api/dev/reload"), ("GET", "/gradio_api/user"),
        ("GET", "/gradio_api/token"), ("GET", "/gradio_api/runs"), ("GET", "/gradio_api/run-history/records"),
        ("GET", "/gradio_api/startup-events"), ("GET", "/gradio_api/proxy=http://192.0.2.1/"), ("GET", "/monitoring"),
        ("GET", "/gradio_api/file=/etc/passwd"), ("GET", "/gradio_api/info"), ("POST", "/login"), ("GET", "/svelte/x"),
        ("GET", "/gradio_api/heartbeat/../token"), ("GET", "//"), ("GET", "/gradio_api/queue/data/"),
        ("POST", "/gradio_api/stream/1"), ("POST", "/gradio_api/vibe-edit"), ("GET", "/gradio_api/deep_link"),
    ],
)  # fmt: skip
def test_only_the_routes_of_the_page_exist(method, path):
    assert_refused(Answer(LOCAL, method, path), 404, "no address")


def test_routes_of_the_page_take_their_own_methods_only():
    assert Answer(LOCAL, "GET", "/assets/a.js").passed and Answer(LOCAL, "HEAD", "/").passed
    assert_refused(Answer(LOCAL, "POST", "/assets/a.js"), 405, "Expected GET or HEAD")
    assert_refused(Answer(LOCAL, "DELETE", JOIN, body=b"{}"), 405, "Expected POST")
    assert_refused(Answer(LOCAL, "OPTIONS", JOIN, origin="http://evil.example"), 403, "Expected a request of this page")


@pytest.mark.parametrize(
    "headers",
    [
        dict(origin="http://evil.example"),
        dict(origin="http://127.0.0.1:3000"),  # another page of this machine
        dict(origin="http://localhost:7860"),
        dict(origin="https://127.0.0.1:7860"),
        dict(origin="null"),
        dict(origin="file://"),
        dict(origin="http://[::1"),
        dict(sec_fetch_site="cross-site"),
        dict(sec_fetch_site="same-site"),
    ],
)
def test_other_sites_can_send_nothing(headers):
    for path, body in ((JOIN, b"{}"), (UPLOAD, b""), ("/gradio_api/cancel", b"{}")):
        assert_refused(Answer(LOCAL, "POST", path, body=body, **headers), 403, "Expected a request of this page")
    assert_refused(Answer(LOCAL, "GET", "/gradio_api/app_id", **headers), 403, "nothing was done")


def test_own_page_is_answered_behind_a_forwarded_port_and_without_a_browser():
    assert Answer(LOCAL, "POST", JOIN, body=b"{}").passed  # curl, Python
    own = dict(host="localhost:9999", origin="http://localhost:9999", sec_fetch_site="same-origin")  # ssh -L 9999:
    assert Answer(LOCAL, "POST", JOIN, body=b"{}", **own).passed
    assert Answer(LOCAL, "POST", JOIN, body=b"{}", host="localhost", origin="http://localhost:80").passed
    assert Answer(LOCAL, sec_fetch_site="cross-site", sec_fetch_mode="navigate").passed  # a link to the page
    assert_refused(Answer(LOCAL, sec_fetch_site="cross-site", sec_fetch_mode="no-cors"), 403, "sent it")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "", "127.0.0.1.evil.example", "a@127.0.0.1", "10.0.0.1"]
)
def test_local_page_has_no_other_host_name(host):
    assert_refused(Answer(LOCAL, host=host), 400, "Expected an address of this machine")


def test_page_for_others_without_a_token_has_numbers_and_own_names_as_hosts():
    for host in ("10.0.0.1:7860", "[2001:db8::1]:7860", "mybox:7860", "localhost"):
        assert Answer(OPEN, host=host).passed
    assert_refused(Answer(OPEN, host="evil.example"), 400, "Expected an address of this machine")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}), ("token=", {}), ("token=wrong", {}), ("Token=a-secret", {}), ("", dict(cookie="proxyclip-page-1=x")),
        ("", dict(cookie="other=a-secret")), ("", dict(authorization="Bearer x")), ("", dict(cookie="=;=a\x7f")),
        ("", dict(authorization="Basic a-secret")), ("token=%C3%A9", {}),
    ],
)  # fmt: skip
def test_page_for_others_refuses_what_has_no_token(query, headers):
    for path in ("/", "/config", "/assets/a.js", "/nothing"):
        assert_refused(
            Answer(GUARDED, path=path, query=query, **headers), 401, "the link with .token= that was printed"
        )
    body = b"{}"
    assert_refused(Answer(GUARDED, "POST", JOIN, query=query, body=body, **headers), 401, "asks for its token")


def test_link_with_the_token_sets_a_cookie_that_opens_the_page():
    answer = Answer(GUARDED, query=urlencode(dict(token="a-secret")))
    assert answer.status == 200 and not answer.passed and 'content="0; url=/"' in answer.text
    cookie, *flags = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} < {*flags} and answer.headers["referrer-policy"] == "no-referrer"
    assert "a-secret" not in answer.text
    assert Answer(GUARDED, cookie=f"other=1; {cookie}").passed
    assert Answer(GUARDED, host="any.name", authorization="Bearer a-secret").passed
    assert_refused(Answer(GUARDED, "POST", JOIN, cookie=cookie, origin="http://evil.example"), 403, "has sent it")


def test_token_is_made_anew_for_other_hosts_than_this_machine():
    assert make_access(WebSettings(), 1).token is None and make_access(WebSettings(host="::1"), 1).token is None
    first, second = (make_access(WebSettings(host="0.0.0.0"), 1) for _ in range(2))
    assert first.token != second.token and len(first.token) >= 32 and first.token not in repr(first)
    assert make_access(WebSettings(host="0.0.0.0", no_token=True), 1).token is None
    assert list_page_hosts("0.0.0.0")[0] == "127.0.0.1" and list_page_hosts("192.0.2.1") == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("path", "size"), [(JOIN, 2**20 + 1), ("/gradio_api/cancel", 5000), (UPLOAD, MAX_UPLOAD_BYTES + 1)]
)
def test_bodies_are_refused_by_their_length_and_by_their_bytes(path, size):
    headers = dict(content_type=FORM) if path == UPLOAD else {}
    answer = Answer(LOCAL, "POST", path, body=b"", content_length=str(size), **headers)
    assert_refused(answer, 413, "Expected (at most|a picture of at most)")
    assert answer.headers["connection"] == "close"
    start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' if path == UPLOAD else b""
    pieces = [start] + [b"\1" * 2**16] * (size // 2**16 + 1)
    answer = Answer(LOCAL, "POST", path, body=pieces + [b"\1" * 2**16] * 1000, **headers)
    assert_refused(answer, 413, "Expected (at most|a picture of at most)")
    assert len(answer.read) <= size  # no more came through,
    assert len(answer.pieces) > 100  # and the rest was not read


@pytest.mark.parametrize("path", ["/", "/gradio_api/app_id"])
def test_requests_that_have_no_body_take_none(path):
    assert_refused(Answer(LOCAL, path=path, body=b"x"), 413, "Expected no content")


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[1]", b"1", b'{"a":' * 21 + b"1" + b"}" * 21, b"[" * 100000, b'{"session_hash": 5}', b"\xff",
     b'{"session_hash": "' + b"s" * 65 + b'"}', b'{"a": ' + b"9" * 5000 + b"}"],
    ids=lambda body: body[:12].decode("latin-1"),
)  # fmt: skip
def test_events_are_json_of_few_levels(body):
    assert_refused(Answer(LOCAL, "POST", JOIN, body=body), 400, '"detail": "Expected (a )?(JSON|session)')
    assert Answer(LOCAL, "POST", JOIN, body=[b'{"a": [[', b'["x"]]]}']).read == b'{"a": [[["x"]]]}'


def _part(name, content=b"x"):
    return b"--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        _part(b'name="files"; filename="a"') + _part(b'name="files"; filename="b"'),
        _part(b'name="other"'),
        _part(b'name="filename"', b"x" * 999),
        _part(b'name="files"; filename="a"') + _part(b'name="other"'),
        b"--b--\r\n",
    ],
    ids=["two files", "no file", "a field of this name", "file and field", "nothing"],
)
def test_upload_has_one_file_and_nothing_else(body):
    assert_refused(
        Answer(LOCAL, "POST", UPLOAD, body=body + b"--b--\r\n", content_type=FORM),
        413 if b"form" in body else 400,
        "Expected one|Expected a picture",
    )
    whole = _part(b'name="files"; filename="a"') + b"--b--\r\n"
    assert Answer(LOCAL, "POST", UPLOAD, body=[whole[:30], whole[30:]], content_type=FORM).read == whole


def test_upload_has_to_be_a_form():
    assert_refused(Answer(LOCAL, "POST", UPLOAD, body=b"x", content_type="text/plain"), 400, "Expected a picture")


def test_page_has_no_web_socket():
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(PageGate(None, LOCAL)({"type": "websocket", "headers": []}, None, send))
    assert sent == ["websocket.close"]


def test_uploads_at_once_are_counted_with_what_they_announce(tmp_path):
    """A folder of bounded size has space for those that have begun, too."""
    folder = UploadFolder(tmp_path, max_bytes=2000)
    whole = _part(b'name="files"; filename="a"') + b"--b--\r\n"
    inner = []

    class Nested(PageGate):
        async def app_page(self, scope, receive, send):
            if len(inner) < 3:
                inner.append(await ask(self))
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def ask(gate):
        sent = []
        headers = [(b"host", b"localhost"), (b"content-type", FORM.encode()), (b"content-length", b"900")]
        scope = dict(type="http", method="POST", path=UPLOAD, query_string=b"", scheme="http", headers=headers)

        async def receive():
            return {"type": "http.request", "body": whole}

        async def send(message):
            sent.append(message)

        await gate(scope, receive, send)
        return sent[0]["status"]

    gate = Nested(None, LOCAL, folder)
    gate.app = gate.app_page
    assert asyncio.run(ask(gate)) == 200
    assert inner == [507, 200]  # the third at once has no space, the second has
    inner.clear()
    assert asyncio.run(ask(gate)) == 200


def test_events_outside_of_the_lines_are_few_at_a_time():
    route = find_route("POST", "/gradio_api/run/predict")
    gate = PageGate(None, LOCAL)
    gate._running[route] = route.max_running
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.disconnect"}

    scope = dict(type="http", method="POST", path="/gradio_api/run/predict", query_string=b"", scheme="http",
                 headers=[(b"host", b"localhost")])  # fmt: skip
    asyncio.run(gate(scope, receive, send))
    assert sent[0]["status"] == 429 and b"The page is busy" in sent[1]["body"]
