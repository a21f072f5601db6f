"""The page of `python demo.py --web`: drop a picture, say what to look for, look at what was found.

    settings.py  what the command line says
    models.py    which models the page offers, and those it has loaded
    given.py     pictures that somebody gives
    work.py      what the page does when asked: plain functions of pictures and words
    results.py   what was found, and the latest of it on the server
    encode.py    pictures and files as data addresses
    view.py      results as HTML, from the templates of assets/
    actions.py   what the controls call: from their values to what is shown next
    page.py      the controls, and which action each of them calls
    look.py      colours and letters
    server.py    address, port and end

Gradio is an extra: `pip install "gradio>=6,<7"`. Importing this package does not import it.
"""

from __future__ import annotations

from .settings import Settings

__all__ = ["Settings", "serve"]


def serve(settings: Settings | None = None) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ImportError: gradio is missing. OSError: the port is taken, or the address is not one of this machine.
        ValueError, FileNotFoundError: a config, method or VFM that does not exist. The message says what to do.
    """
    from .server import Server

    with Server(settings or Settings()) as server:
        server.run()
