"""HTTP server of the page."""

import contextlib
import errno
import importlib.util
import socket
import tempfile
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proxyclip.apis.web.settings import WebSettings
from proxyclip.utils.system import hidden_proxies, temporary_environment

MAX_UPLOAD_MB = 20  # of an uploaded file
MISSING_GRADIO = 'The page needs gradio, which is not installed: pip install "gradio>=6,<7"'
OPEN_HOST_WARNING = (
    "warning: the page listens on {host}: anybody who reaches that address can use it, and there is no password"
)


@dataclass(frozen=True)
class Server:
    """HTTP server of the page, see `open_server`."""

    settings: WebSettings
    socket: socket.socket
    uploads: str
    uvicorn: Any

    @property
    def url(self) -> str:
        """Local URL of the page."""
        host, port = self.socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if self.settings.host == "localhost":
            host = "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Print the URL, and serve the page until Ctrl-C."""
        if not self.settings.is_local:
            print(OPEN_HOST_WARNING.format(host=self.settings.host), flush=True)
        print(f"The page is at {self.url}; Ctrl-C ends it.", flush=True)
        if self.settings.open_browser:
            webbrowser.open(self.url)
        with contextlib.suppress(KeyboardInterrupt):
            self.uvicorn.run(sockets=[self.socket])

    def stop(self) -> None:
        """End `run` from another thread."""
        self.uvicorn.should_exit = True


@contextlib.contextmanager
def open_server(settings: WebSettings) -> Iterator[Server]:
    """Open the port and build the page; at the end all uploaded files are deleted.

    Raises:
        ImportError, OSError: see `serve_page`.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ImportError(MISSING_GRADIO)
    with (
        open_socket(settings.host, settings.port) as listener,
        tempfile.TemporaryDirectory(prefix="proxyclip-web-", ignore_cleanup_errors=True) as uploads,
        temporary_environment({"GRADIO_TEMP_DIR": uploads}),
    ):
        import uvicorn

        with hidden_proxies():  # gradio makes an HTTP client when it is imported, which fails for some of them
            app = build_app(settings)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        yield Server(settings, listener, uploads, uvicorn.Server(config))


def build_app(settings: WebSettings) -> Any:
    """Build the page as an ASGI application."""
    from proxyclip.engine.evaluation.console import silence_libraries

    silence_libraries()
    import fastapi
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from proxyclip.apis.web.model_cache import ModelCache
    from proxyclip.apis.web.page import build_page, build_theme, gr
    from proxyclip.apis.web.render import ASSETS_DIR

    app = fastapi.FastAPI(openapi_url=None)
    if settings.host in ("127.0.0.1", "localhost"):  # no other site can have its name point here and read along
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    blocks = build_page(ModelCache(settings))
    blocks.has_launched = True  # else gradio reads any file a browser names, uploaded or not
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=f"{MAX_UPLOAD_MB}mb",
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=build_theme(),
        css_paths=ASSETS_DIR / "style.css",
    )


def open_socket(host: str, port: int) -> socket.socket:
    """Open a socket on an address and port.

    Raises:
        OSError: the port is taken, with one that is free, or the address is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OverflowError:
        raise OSError(f"Expected a port from 0 to 65535, but got {port}") from None
    except socket.gaierror as error:
        raise OSError(f"There is no address {host!r} ({error.strerror}): leave out --host") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            with socket.create_server((host, 0), family=family) as other:
                free_port = other.getsockname()[1]
            raise OSError(f"Port {port} is taken, perhaps by another such page: say --port {free_port}") from None
        raise OSError(f"{host}:{port} cannot be used ({error.strerror}): choose another --host or --port") from None
