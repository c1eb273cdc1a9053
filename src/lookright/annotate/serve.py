"""Starting the server: on this machine alone unless a token is given."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import uvicorn

from lookright.annotate.accept import AcceptAll
from lookright.annotate.app import create_app
from lookright.annotate.correct import Corrections
from lookright.annotate.hosts import (
    host_header,
    host_headers,
    is_everywhere,
    is_host,
    is_loopback,
    named,
    other_addresses,
)
from lookright.annotate.project import Project
from lookright.annotate.security import MIN_TOKEN, Access
from lookright.errors import ConfigError

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

PORT = 8017


def check_address(host: str, port: int, token: str | None, names: Sequence[str] = ()) -> None:
    """Refuse an address that would let anybody in.

    Raises:
        ConfigError: no port, a host that is none, another machine's way in without a token, a token that is
            too short, or a name that is none.

    Example:
        >>> check_address("127.0.0.1", 0, None)
        >>> check_address("0.0.0.0", 0, None)
        Traceback (most recent call last):
        lookright.errors.ConfigError: host: 0.0.0.0 lets other machines in; give a --token of 12 ...
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port: got {port}; give one from 1 to 65535, or 0 for a free one")
    if not is_host(host):
        raise ConfigError(
            f"host: got {host!r}; give an address or a name alone, such as 127.0.0.1, ::1 or 0.0.0.0, and "
            "the port with --port"
        )
    for option, place in _asked_at(host, port, names):
        if token is None and not is_loopback(place):
            raise ConfigError(
                f"{option}: {place} lets other machines in; give a --token of {MIN_TOKEN} characters or "
                f"more, or leave --{option} out"
            )
    if token is not None and len(token) < MIN_TOKEN:
        raise ConfigError(f"token: {len(token)} characters; give {MIN_TOKEN} or more")


def _asked_at(host: str, port: int, names: Sequence[str]) -> list[tuple[str, str]]:
    """The hosts at which browsers ask, and the option that says so."""
    return [("host", host), *(("name", urlsplit(f"//{named(name, port)}").hostname or "") for name in names)]


def serve(
    project: Project,
    looking: Looking | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    follow_links: bool = False,
    names: Sequence[str] = (),
    open_browser: bool = True,
    runs: Path | None = None,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> None:
    """Serve a project until it is interrupted.

    Args:
        project: what is annotated
        looking: a model beside it, which predicts all photos meanwhile
        host: address to listen at
        port: 0 for a free one
        token: that every request needs
        follow_links: show other machines photos that are links out of the data folder; this one sees them
        names: further ones by which browsers ask, HOST or HOST:PORT: of a tunnel, a container, in your DNS
        open_browser: show the page
        runs: folder of the runs that the button Correct trains; by default in the annotator's folder
        device: where these are trained
        say: prints a line

    Raises:
        ConfigError: as `check_address`, the host is none of this machine, or the port is taken.
    """
    check_address(host, port, token, names)
    listener = _listen(host, port)
    corrections = Corrections(project, looking, runs=runs, device=device, ahead=True)
    accepting = AcceptAll(project)
    with listener, closing(corrections), closing(accepting):
        port = listener.getsockname()[1]
        query = f"?token={quote(token, safe='')}" if token else ""
        everywhere = is_everywhere(host)
        here = ("::1" if ":" in host else "127.0.0.1") if everywhere else host
        url = f"http://{host_header(here, port)}/{query}"
        access = Access(host_headers(host, port, names), token, everywhere)
        app = create_app(
            project,
            access,
            looking,
            corrections=corrections,
            accepting=accepting,
            follow_links=follow_links or all(is_loopback(at) for _, at in _asked_at(host, port, names)),
        )
        if not is_loopback(host):
            say(
                f"WARNING: other machines reach this page at {host}, unencrypted. Whoever has the token sees "
                "all photos and writes marks; give it to people you trust, in a network you trust."
            )
        if others := [*other_addresses(host, port), *(named(name, port) for name in names)]:
            say(f"Also at {', '.join(f'http://{other}/{query}' for other in others)}")
        begun = sum(item.id in project.before for item in project.items)
        say(
            f"{len(project.items)} images{f', {begun} with marks to start from' if begun else ''}; marks of "
            f"{project.annotator} go to {project.layer.folder}"
        )
        say(f"Open {url} (Ctrl+C ends it; every stroke is saved at once)")
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=5,
            )
        )
        if looking is not None:
            looking.start(project.marks_to_accept if project.before else None)
        # What superpixels need is loaded before somebody clicks.
        threading.Thread(target=import_module, args=("skimage.segmentation",), daemon=True).start()
        if open_browser:
            threading.Thread(target=_show, args=(server, url), daemon=True).start()
        _end_when_told()
        with suppress(KeyboardInterrupt):  # which is how it ends
            server.run(sockets=[listener])


def _end_when_told() -> None:
    """End as at an interrupt when the process is told to, or its terminal is closed: the layer is let go."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hang_up = getattr(signal, "SIGHUP", None)  # there is none on Windows
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:  # as under nohup
        # While the server runs, its own handler of SIGTERM lets answers be finished first.
        signal.signal(hang_up, lambda *_: signal.raise_signal(signal.SIGTERM))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two servers have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(
                f"host: {host} is no address or name of this machine ({error.strerror}); give one, such "
                "as 127.0.0.1, which it alone can reach"
            ) from error
        raise ConfigError(
            f"port: cannot listen at {host}:{port} ({error.strerror or error}); --port 0 takes a free one"
        ) from error
    return listener


def _show(server: uvicorn.Server, url: str) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    webbrowser.open(url)
