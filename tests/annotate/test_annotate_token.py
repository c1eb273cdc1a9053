"""Who is let in from where: tokens, hosts, ports."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from annotate_made import SIZES, Page, png, random_marks
from served_page import running

from lookright.annotate.hosts import is_loopback
from lookright.annotate.open_project import open_project
from lookright.annotate.security import Access
from lookright.annotate.serve import _listen, check_address
from lookright.errors import ConfigError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKEN = "a long enough token"
GOOD = png(random_marks(next(iter(SIZES.values()))))


@pytest.fixture
def locked(folder: Path) -> Iterator[Page]:
    """The same API where a token is asked for."""
    project = open_project(folder, annotator="anna")
    page = Page(project, token=TOKEN)
    page.http.follow_redirects = False
    yield page
    project.close()


@pytest.mark.parametrize("path", ["/", "/api/session", "/api/images/0/photo", "/static/main.js", "/nothing"])
def test_with_a_token_nothing_is_served_without_it(locked: Page, path: str) -> None:
    for query in ("", "?token=", "?token=wrong", "?token=" + TOKEN[:-1]):
        assert locked.http.get(path + query).status_code == 401
    for cookie in ("wrong", TOKEN, locked.access.write_token):
        assert locked.http.get(path, headers={"Cookie": f"lookright-8017={cookie}"}).status_code == 401


def test_the_token_opens_the_page_and_leaves_the_address(locked: Page) -> None:
    answer = locked.http.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()  # a strict one is not sent after a link in a mail
    assert TOKEN not in cookie
    assert locked.http.get("/").status_code == 200
    assert locked.get("session")["annotator"] == "anna"
    assert locked.put("images/0/marks", GOOD).status_code == 200


@contextmanager
def linking(url: str) -> Iterator[str]:
    """Another site with a link: its address."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{url}">the photos</a>'.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/"  # by another name: another site
        server.shutdown()


def test_a_link_on_another_site_opens_the_page(browser: "Browser", folder: Path) -> None:
    project = open_project(folder, annotator="anna")
    with (
        running(project, None, token=TOKEN) as served,
        linking(f"{served.url}/?token={quote(TOKEN)}") as site,
    ):
        context = browser.new_context()
        page = context.new_page()
        page.goto(site)
        with page.expect_response(f"{served.url}/") as answer:
            page.get_by_role("link").click()
        assert answer.value.status == 200
        page.wait_for_selector("#list li")
        assert page.url.startswith(f"{served.url}/")
        assert TOKEN not in page.url
        context.close()
    project.close()


def test_the_token_alone_does_not_write(locked: Page) -> None:
    locked.http.get("/", params={"token": TOKEN})
    assert locked.put("images/0/marks", GOOD, X_Token=TOKEN).status_code == 403
    assert locked.project.layer.version("images/cat/a.jpg") == 0


def test_the_token_counts_at_the_host_that_is_served(locked: Page) -> None:
    answer = locked.http.get("/", params={"token": TOKEN}, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert "set-cookie" not in answer.headers


def test_every_start_has_other_tokens() -> None:
    one, other = Access(frozenset()), Access(frozenset())
    assert one.write_token != other.write_token
    assert one.cookie != other.cookie
    assert len(one.write_token) >= 32


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_are_let_in_with_a_token_alone(host: str) -> None:
    with pytest.raises(ConfigError, match="--token of 12"):
        check_address(host, 8017, None)
    with pytest.raises(ConfigError, match="token: 11 characters"):
        check_address(host, 8017, "x" * 11)
    check_address(host, 8017, "x" * 12)
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_machine_alone_needs_none(host: str) -> None:
    check_address(host, 0, None)


def test_a_name_of_another_machine_needs_it_too() -> None:
    check_address("127.0.0.1", 8017, None, ["localhost:9000", "[::1]:9000"])
    with pytest.raises(ConfigError, match=r"name: lab\.example lets other machines in"):
        check_address("127.0.0.1", 8017, None, ["lab.example:9000"])
    check_address("127.0.0.1", 8017, TOKEN, ["lab.example:9000"])


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_that_there_are_not(port: int) -> None:
    with pytest.raises(ConfigError, match="port"):
        check_address("127.0.0.1", port, None)


def test_the_server_listens_where_it_says(folder: Path) -> None:
    with _listen("127.0.0.1", 0) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        listener.listen()
        with pytest.raises(ConfigError, match="--port 0 takes a free one"):
            _listen("127.0.0.1", port)
        assert socket.create_connection(("127.0.0.1", port), timeout=5)
