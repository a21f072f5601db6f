"""HTTP server of the page."""

import contextlib
import errno
import importlib.util
import socket
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proxyclip.apis.web.access import TOKEN_PARAMETER, PageAccess, list_page_hosts, make_access
from proxyclip.apis.web.gate import PageGate
from proxyclip.apis.web.routes import MAX_UPLOAD_MB
from proxyclip.apis.web.settings import WebSettings
from proxyclip.apis.web.upload_folder import open_upload_folder
from proxyclip.utils.system import hidden_proxies

MISSING_GRADIO = 'The page needs gradio, which is not installed: pip install "gradio>=6,<7"'
OPEN_HOST_WARNING = (
    "warning: the page listens on {host}: anybody who reaches that address can use it, for --no-token asks for nothing"
)
TOKEN_NOTE = "The token in it is a password: whoever has the link can use the page. --no-token leaves it out."


@dataclass(frozen=True)
class Server:
    """HTTP server of the page, see `open_server`."""

    settings: WebSettings
    socket: socket.socket
    uploads: str
    uvicorn: Any
    access: PageAccess = field(default_factory=PageAccess)

    @property
    def url(self) -> str:
        """Local URL of the page."""
        host, port = self.socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if self.settings.host == "localhost":
            host = "localhost"
        return _format_url(host, port)

    @property
    def links(self) -> list[str]:
        """Addresses to open in a browser, with the token, if there is one."""
        query = f"/?{TOKEN_PARAMETER}={self.access.token}" if self.access.token else ""
        if self.settings.is_local:
            return [self.url + query]
        port = self.socket.getsockname()[1]
        return [_format_url(host, port) + query for host in list_page_hosts(self.settings.host)]

    def run(self) -> None:
        """Print the URL, and serve the page until Ctrl-C."""
        if not self.settings.is_local and not self.access.token:
            print(OPEN_HOST_WARNING.format(host=self.settings.host), flush=True)
        links = self.links
        print(f"The page is at {' or '.join(links)}; Ctrl-C ends it.", flush=True)
        if self.access.token:
            print(TOKEN_NOTE, flush=True)
        if self.settings.open_browser:
            webbrowser.open(links[0])
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
        open_upload_folder() as folder,
    ):
        import uvicorn

        with hidden_proxies():  # gradio makes an HTTP client when it is imported, which fails for some of them
            app = build_app(settings)
        access = make_access(settings, listener.getsockname()[1])
        gate = PageGate(app, access, folder)
        config = uvicorn.Config(gate, log_level="critical", timeout_graceful_shutdown=1)
        yield Server(settings, listener, str(folder.path), uvicorn.Server(config), access)


def _format_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def build_app(settings: WebSettings) -> Any:
    """Build the page as an ASGI application, which belongs behind a `PageGate`."""
    from proxyclip.engine.evaluation.console import silence_libraries

    silence_libraries()
    import fastapi

    from proxyclip.apis.web.model_cache import ModelCache
    from proxyclip.apis.web.page import build_page, build_theme, gr
    from proxyclip.apis.web.render import ASSETS_DIR

    app = fastapi.FastAPI(openapi_url=None)
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
