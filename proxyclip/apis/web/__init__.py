"""Gradio page of `python demo.py --web`.

    settings.py   options of the command line
    models.py     LRU cache of segmenters, and the models on offer
    inference.py  uploaded images, example scenes, segmentation requests
    results.py    results, and their store on the server
    render.py     results as HTML, from the templates of assets/
    actions.py    event handlers
    page.py       controls, theme, style sheet
    server.py     HTTP server

Gradio is an extra: `pip install "gradio>=6,<7"`. Importing this package does not import it.
"""

from __future__ import annotations

from proxyclip.apis.web.settings import WebSettings

__all__ = ["WebSettings", "serve_page"]


def serve_page(settings: WebSettings | None = None) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ImportError: gradio is missing. OSError: the port is taken, or the address is not one of this machine.
        ValueError, FileNotFoundError: a config, method or VFM that does not exist. The message says what to do.
    """
    from proxyclip.apis.web.server import Server

    with Server(settings or WebSettings()) as server:
        server.run()
