"""Options of the web page."""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class WebSettings:
    """Options of the page: model, first values of the controls, address.

    Args:
        config, clip, vfm, method, device, precision: those of `Segmenter`; None is the default there.
        refine: steps on the maps, such as pamr, of every model, until another one is chosen on the page.
        stretch: first value of the checkbox that spreads the values of pictures of more than 8 bits.
        classes, background, threshold, beta, gamma: first values of the controls. Classes may be the path of a
            vocabulary file, and a number as background is a threshold without names.
        tiny: the embedded tiny world, which needs no download.
        port: 0 is any that is free.
        host: another address than this machine's own lets others use the page.
        no_token: let others use the page without the token of its link.
        open_browser: open the page at once.
    """

    config: str | None = None
    clip: str | None = None
    vfm: str | None = None
    method: str | None = None
    classes: str | None = None
    background: str | None = None
    threshold: float = 0.0
    beta: float | None = None
    gamma: float | None = None
    refine: tuple[str, ...] = ()
    stretch: bool = False
    port: int = 7860
    host: str = "127.0.0.1"
    device: str = "auto"
    precision: str | None = None
    tiny: bool = False
    no_token: bool = False
    open_browser: bool = False

    @property
    def is_local(self) -> bool:
        """True if only this machine reaches the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
