"""Gradio page of `python demo.py --web`.

Gradio is an extra: `pip install "gradio>=6,<7"`. Importing this package does not import it.
"""

from proxyclip.apis.web.settings import WebSettings
from proxyclip.utils.termination import interrupt_on_sigterm

__all__ = ["WebSettings", "serve_page"]


def serve_page(settings: WebSettings | None = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        ImportError: gradio is missing. OSError: the port is taken, or the address is not one of this machine.
        ValueError, FileNotFoundError: a config, method or VFM that does not exist. The message says what to do.
    """
    from proxyclip.apis.web.heap import limit_arenas
    from proxyclip.apis.web.server import open_server

    limit_arenas()
    with interrupt_on_sigterm(), open_server(settings or WebSettings()) as server:
        server.run()
