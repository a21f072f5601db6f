"""A server on 127.0.0.1 that answers as the hub does, and as a plain file server, with chosen faults."""

import contextlib
import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants

COMMIT = "c" * 40


class StubHub:
    """Files under `REPOSITORY/resolve/REVISION/NAME` and under any other path, by address.

    Attributes:
        files: address without the leading slash (a hub's file: `REPOSITORY/NAME`) -> bytes that are announced.
        bodies: the same -> other bytes that are sent in their place.
        cuts: how many bytes the next answers send before they break off, one number an answer.
        gated: repositories that want terms accepted.
        asked: (method, address, value of Range) of all requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.bodies: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str, str | None]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                stub.answer(self, send=False)

            def do_GET(self):
                stub.answer(self, send=True)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def starts(self) -> list[int]:
        """The byte from which each GET wanted its file, for all of them."""
        return [int(re.sub(r"\D", "", (r or "0").partition("-")[0])) for m, _, r in self.asked if m == "GET"]

    def answer(self, request: BaseHTTPRequestHandler, send: bool) -> None:
        wanted = request.headers.get("Range")
        path = re.sub(r"/resolve/[^/]+/", "/", request.path.lstrip("/"))
        self.asked.append((request.command, path, wanted))
        repository = path.rpartition("/")[0]
        if repository in self.gated:
            return self.refuse(request, 403, "GatedRepo")
        if path not in self.files:
            known = any(name.startswith(f"{repository}/") for name in self.files)
            return self.refuse(request, 404, "EntryNotFound" if known else "RepoNotFound")
        content = self.files[path]
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if start and start >= len(content):
            return self.refuse(request, 416, "")
        body = self.bodies.get(path, content)[start:]
        request.send_response(206 if start else 200)
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": len(content)}
        headers |= {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", "Content-Length": len(body)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        for name, value in headers.items():
            request.send_header(name, str(value))
        request.end_headers()
        if send:
            request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
            request.close_connection = True

    @staticmethod
    def refuse(request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()


@contextlib.contextmanager
def open_stub_hub(monkeypatch):
    """Serve a `StubHub` as the hub of huggingface_hub, the network allowed and proxies off."""
    stub = StubHub()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "ENDPOINT", stub.address)
    template = stub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield stub
    stub.close()
