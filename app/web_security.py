"""Headers and host check of the web application, as plain ASGI middleware."""

import base64
import hashlib
import ipaddress
import re
from functools import lru_cache
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@lru_cache(maxsize=1)
def page_policy() -> str:
    """Content security policy of the pages: everything from this server, nothing from elsewhere.

    Streamlit's own page has one inline script, named here by its hash as installed; its
    components run from blob: modules and its charts compile functions, hence `unsafe-eval`.
    """
    index = Path(st.__file__).parent / "static" / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", index.read_text(encoding="utf-8"), re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    inline = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        "default-src 'self'; "
        f"script-src 'self' {inline} 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )


def report_policy() -> str:
    """Policy of a stored report opened in the browser: no scripts, nothing loaded."""
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "frame-ancestors 'none'; sandbox allow-downloads allow-popups"
    )


class SecurityHeaders:
    """Adds the headers that Streamlit leaves out; a route's own policy stands."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, headers added to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", page_policy())
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("X-Frame-Options", "DENY")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostGuard:
    """Refuses host names that are not ours, so that no foreign page can rebind its name here."""

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str]) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421."""
        if scope["type"] not in ("http", "websocket") or self._is_ours(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 421, "headers": []})
            await send({"type": "http.response.body", "body": b"unknown host name"})

    def _is_ours(self, scope: Scope) -> bool:
        raw = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name = re.sub(r":\d+$", "", raw).strip("[]").lower()
        return name in self._allowed_hosts or is_numeric_address(name)


def is_numeric_address(name: str) -> bool:
    """Tell whether a host is an IP address: rebinding needs a name, so these are safe."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
