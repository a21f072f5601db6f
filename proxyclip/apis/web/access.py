"""Access to the page: its addresses, its own site, its token."""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from proxyclip.apis.web.refusals import RequestRefused
from proxyclip.apis.web.settings import WebSettings

DEFAULT_PORTS = {"http": 80, "https": 443}
TOKEN_PARAMETER = "token"


@dataclass(frozen=True)
class PageAccess:
    """Rules of access to the page.

    Args:
        is_local: whether it listens on this machine's own address only.
        names: host names of this machine, beside its numeric addresses.
        token: that a request has to have, in its cookie, its address or after `Authorization: Bearer`; None asks for
            none.
        cookie: its name; cookies are shared by all ports of a host.
    """

    is_local: bool = True
    names: frozenset[str] = frozenset({"localhost"})
    token: str | None = field(default=None, repr=False)
    cookie: str = "proxyclip-page"

    def check_request(self, method: str, path: str, query: str, scheme: str, headers: Mapping[str, str]) -> None:
        """Raise RequestRefused for a request of another site, under another name, or without the token.

        Args:
            headers: by lower-case names.
        """
        self.check_host(headers.get("host", ""))
        is_visit = method in ("GET", "HEAD") and path == "/" and headers.get("sec-fetch-mode", "navigate") == "navigate"
        check_site(scheme, headers, is_visit)
        self.check_token(query, headers)

    def check_host(self, host: str) -> None:
        """Raise RequestRefused for a host name that is none of this machine: another site's may point here.

        With a token any name will do, for another site has not got it.
        """
        name = _split_host(host)
        if name is None or not (self.token or self._is_own(name)):
            raise RequestRefused(
                400,
                f"Expected an address of this machine, but got the host {host[:100]!r}: open the page by its number.",
            )

    def _is_own(self, name: str) -> bool:
        if name.lower() in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.split("%")[0])
        except ValueError:
            return False
        return address.is_loopback or not self.is_local

    def check_token(self, query: str, headers: Mapping[str, str]) -> None:
        """Raise RequestRefused for a request that has not got the token."""
        if self.token is None or self.has_query_token(query):
            return
        kind, _, sent = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(sent.strip()):
            return
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            cookie = None
        if cookie is None or not self._is_token(cookie.value):
            raise RequestRefused(
                401,
                "This page asks for its token: open the link with ?token= that was printed where demo.py --web was "
                "started; each start has another one.",
            )

    def has_query_token(self, query: str) -> bool:
        """Return True for a query with the token."""
        return self.token is not None and any(map(self._is_token, parse_qs(query).get(TOKEN_PARAMETER, [])))

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), (self.token or "").encode())


def check_site(scheme: str, headers: Mapping[str, str], is_visit: bool) -> None:
    """Raise RequestRefused for what a page of another site sends: its forms and scripts can reach this machine.

    Args:
        is_visit: whether the request only opens the page, as any link may.
    """
    origin = headers.get("origin")
    is_foreign = origin is not None and _normalize_origin(origin) != _normalize_origin(f"{scheme}://{headers['host']}")
    sent_by = headers.get("sec-fetch-site", "none")
    if is_foreign or (sent_by not in ("none", "same-origin") and not is_visit):
        site = origin or f"a page that is {sent_by}"
        raise RequestRefused(403, f"Expected a request of this page, but {site[:100]!r} has sent it: nothing was done.")


def _normalize_origin(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what has none, such as `null`."""
    try:
        parts = urlsplit(text)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _split_host(host: str) -> str | None:
    """Name of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname if not {"/", "@", "?", "#"} & {*host} else None
    except ValueError:
        return None


def make_access(settings: WebSettings, port: int) -> PageAccess:
    """Make the rules of a page: a page that other machines reach gets a new token, unless it is to have none."""
    names = {"localhost", settings.host.lower()}
    if not settings.is_local:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    token = None if settings.is_local or settings.no_token else secrets.token_urlsafe(24)
    return PageAccess(settings.is_local, frozenset(names), token, f"proxyclip-page-{port}")


def list_page_hosts(host: str) -> list[str]:
    """List the addresses that reach a host: for 0.0.0.0 and :: all of this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not address.is_unspecified:
        return [host]
    import psutil

    families = (socket.AF_INET,) if address.version == 4 else (socket.AF_INET6,)
    entries = [entry for interface in psutil.net_if_addrs().values() for entry in interface]
    own = sorted({entry.address for entry in entries if entry.family in families and "%" not in entry.address})
    loopback = "127.0.0.1" if address.version == 4 else "::1"
    return [loopback, *(name for name in own if not ipaddress.ip_address(name).is_loopback)]
