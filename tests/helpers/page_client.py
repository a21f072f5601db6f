"""A client of the web page: what a browser sends, without one."""

import io
import json
from typing import Any

import httpx
from PIL import Image


def make_png(width: int = 96, height: int = 64, color: tuple[int, int, int] = (10, 200, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


class PageClient(httpx.Client):
    """One visitor of a page."""

    def __init__(self, url: str, session: str, **options: Any) -> None:
        super().__init__(base_url=url, timeout=60, trust_env=False, **options)
        self.session = session

    def find_event(self, kind: str, count: int | None = None) -> int:
        """Number of the first event of a kind, with so many inputs."""
        events = self.get("/config").json()["dependencies"]
        return next(
            event["id"] for event in events if event["targets"][0][1] == kind and count in (None, len(event["inputs"]))
        )

    def send_file(self, data: bytes, name: str = "a.png", **options: Any) -> httpx.Response:
        return self.post("/gradio_api/upload", files={"files": (name, data, "image/png")}, **options)

    def join(self, event: int, data: list[Any]) -> httpx.Response:
        body = dict(data=data, fn_index=event, session_hash=self.session)
        return self.post("/gradio_api/queue/join", json=body)

    def call(self, event: int, data: list[Any]) -> dict[str, Any]:
        """Send an event and wait for its end: its message."""
        number = self.join(event, data).json()["event_id"]
        with self.stream("GET", "/gradio_api/queue/data", params=dict(session_hash=self.session)) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("event_id") == number and message["msg"] == "process_completed":
                    return message
        raise AssertionError("The event has no end")

    def upload(self, data: bytes) -> dict[str, Any]:
        file = dict(path=self.send_file(data).json()[0], orig_name="a.png", meta={"_type": "gradio.FileData"})
        return self.call(self.find_event("upload"), [file, False, None])

    def segment(self, classes: str, background: str = "") -> dict[str, Any]:
        """Press Segment."""
        values = [None, None, True, classes, background, 0, False, "proxy", "tiny", "sclip", "none", 1.2, 3.0]
        return self.call(self.find_event("click", 14), [*values, "as configured"])
