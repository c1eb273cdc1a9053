"""Who may ask: the host that is served, the token, the origin; and headers on every answer."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookright.annotate.hosts import host_header

MIN_TOKEN = 12
"""Characters of a token that opens the server to other machines."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer."""

_READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Access:
    """What a request has to show.

    Args:
        hosts: values of the Host header that are served, in lower case
        token: that every request needs, once in the address and from then on as a cookie; None for none
    """

    hosts: frozenset[str]
    token: str | None = None
    everywhere: bool = False
    """whether the address of this machine at which a connection has arrived is served too"""
    write_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """that writes need in X-Token: the page has it, other pages cannot read it"""
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """what stands for the token in the cookie, which browsers send to other ports of the host too"""

    def serves(self, host: str, arrived: tuple[str, int] | None) -> bool:
        """Whether this is one of our own names or addresses. A name that leads here by foreign DNS is none.

        Args:
            host: value of the Host header
            arrived: address and port of this machine at which the connection has arrived
        """
        host = host.lower()
        return host in self.hosts or (
            self.everywhere and arrived is not None and host == host_header(*arrived)
        )

    def refuse(
        self, method: str, path: str, headers: Mapping[str, str], arrived: tuple[str, int] | None = None
    ) -> tuple[int, str] | None:
        """Say what is wrong with a request, if anything: a status and a sentence.

        Args:
            method: of the request
            path: of the request
            headers: of the request, names in any case
            arrived: as of `serves`
        """
        host = headers.get("host", "").lower()
        if not self.serves(host, arrived):
            return 421, (
                "this address is not served here; open one that the terminal shows, or start with --name HOST"
            )
        if self.token is not None and not self._knows_cookie(headers.get("cookie", "")):
            return 401, "a token is needed; open the whole address that the terminal shows"
        # A link may lead to the page; nothing else is for other pages, not even to be drawn by them.
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") and not (path == "/" and method in _READS):
            return 403, "asked for by another page; open this one by its own address"
        if method in _READS:
            return None
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            return 403, "sent by another page; nothing was written"
        if not _same(headers.get("x-token", ""), self.write_token):
            return 403, "sent without this page's token; nothing was written: load the page again"
        return None

    def knows(self, token: str | None) -> bool:
        """Whether a token from the address is the right one.

        Args:
            token: None where the address has none
        """
        return self.token is not None and token is not None and _same(token, self.token)

    def cookie_name(self, host: str) -> str:
        """Name of the cookie; by port, since browsers keep one jar for all ports of a host.

        Args:
            host: value of the Host header
        """
        return f"lookright-{urlsplit(f'//{host}').port or 80}"

    def _knows_cookie(self, cookies: str) -> bool:
        return any(
            name.startswith("lookright-") and _same(value, self.cookie)
            for name, value in cookie_parser(cookies).items()
        )

    def _is_own(self, origin: str, host: str) -> bool:
        return origin.lower() == f"http://{host}"


class Guard:
    """Middleware: lets through what `Access` does not refuse, and puts `HEADERS` on every answer.

    Args:
        app: what answers
        access: who may ask
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = "no-store" if scope["path"].startswith("/api") else "no-cache"
            await send(message)

        answer = self._answer(scope)
        await (answer or self.app)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """What is answered before the application is asked, if anything."""
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        given = QueryParams(scope["query_string"]).get("token")
        host = headers.get("host", "").lower()
        arrived = scope.get("server")
        is_here = self.access.serves(host, arrived)
        if is_here and path == "/" and method == "GET" and self.access.knows(given):
            # The token leaves the address bar, and with it the history and what people copy from there.
            answer = RedirectResponse("/", status_code=303)
            name = self.access.cookie_name(host)
            # Not strict: browsers would leave it out here, on the way from a link in somebody's web mail.
            answer.set_cookie(name, self.access.cookie, httponly=True, samesite="lax", path="/")
            return answer
        refused = self.access.refuse(method, path, headers, arrived)
        return JSONResponse({"error": refused[1]}, refused[0]) if refused else None


def _same(one: str, other: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8"))
