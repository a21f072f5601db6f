"""The web page, served in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from proxyclip.apis.web import WebSettings
from proxyclip.apis.web.server import Server, open_server


@contextmanager
def serve_in_thread(settings: WebSettings) -> Iterator[Server]:
    with open_server(settings) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()
