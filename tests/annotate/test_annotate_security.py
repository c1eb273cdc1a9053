import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
from annotate_made import HOST, SIZES, Page, bomb, png, random_marks
from starlette.testclient import TestClient

from lookright.annotate.app import create_app
from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import MAX_BYTES
from lookright.annotate.security import HEADERS

GOOD = png(random_marks(next(iter(SIZES.values()))))


def untouched(page: Page) -> bool:
    """Whether nothing was written."""
    return page.project.layer.version("images/cat/a.jpg") == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8017", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8017", ""],
)
@pytest.mark.parametrize("path", ["/", "/api/session", "/api/images/0/photo", "/static/main.js", "/none"])
def test_another_host_is_refused(page: Page, host: str, path: str) -> None:
    answer = page.http.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "anna" not in answer.text
    assert page.access.write_token not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8017", "localhost:8017", "LOCALHOST:8017", "[::1]:8017"])
def test_names_of_this_machine_are_served(page: Page, host: str) -> None:
    assert page.http.get("/api/session", headers={"Host": host}).status_code == 200


def test_writes_to_another_host_are_refused(page: Page) -> None:
    assert page.put("images/0/marks", GOOD, Host="evil.example:8017").status_code == 421
    assert untouched(page)


@pytest.mark.parametrize("token", ["", "wrong", "ä".encode()])
@pytest.mark.parametrize("path", ["images/0/marks", "images/0/status"])
def test_writes_without_the_page_token_are_refused(page: Page, path: str, token: str | bytes) -> None:
    answer = page.put(path, GOOD, X_Token=token)
    assert answer.status_code == 403
    assert untouched(page)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    "headers", [{}, {"X-Token": "wrong"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_accepting_needs_this_page_and_its_token(page: Page, method: str, headers: dict[str, str]) -> None:
    token = {} if "X-Token" in headers or not headers else {"X-Token": page.access.write_token}
    assert page.http.request(method, "/api/accept", headers=headers | token).status_code == 403
    assert untouched(page)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", f"https://{HOST}", "http://127.0.0.1:9999", "http://localhost:8017"],
)
def test_writes_of_another_origin_are_refused(page: Page, origin: str) -> None:
    assert page.put("images/0/marks", GOOD, Origin=origin).status_code == 403
    assert untouched(page)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_that_another_page_makes_are_refused(page: Page, site: str) -> None:
    assert page.put("images/0/marks", GOOD, Sec_Fetch_Site=site).status_code == 403
    for path in ("/api/session", "/api/images/0/photo", "/api/coco", "/static/main.js"):
        assert page.http.get(path, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert page.http.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200  # a link leads there
    assert untouched(page)


def test_writes_of_this_page_are_taken(page: Page) -> None:
    assert page.put("images/0/marks", GOOD, Sec_Fetch_Site="same-origin").status_code == 200


def test_no_preflight_is_answered(page: Page) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    answer = page.http.options("/api/images/0/marks", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%5capp.py",
        "/static/%00",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/index.html",
        "/static/",
        "/static/.",
        "/static/style.css/",
        "/static/style.css%00.js",
        "/api/images/../../etc/passwd",
        "/api/images/..%2f..%2fetc%2fpasswd/photo",
        "/api/images/images%2fcat%2fa.jpg/photo",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
    ],
)
def test_paths_lead_to_no_file(page: Page, path: str) -> None:
    status, body = ask_raw(page, path)
    assert status == 404
    assert body.startswith(b'{"error":')


def ask_raw(page: Page, path: str) -> tuple[int, bytes]:
    """Ask the application for exactly this path, as uvicorn would hand it on: a client would tidy it up."""
    sent: list[dict[str, object]] = []

    async def ask() -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", HOST.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8017),
        }
        await create_app(page.project, page.access)(scope, receive, send)

    with ThreadPoolExecutor(1) as thread:  # a browser's tests leave a loop running in this one
        thread.submit(asyncio.run, ask()).result()
    body = b"".join(bytes(message.get("body", b"")) for message in sent[1:])
    return int(str(sent[0]["status"])), body


def test_bodies_that_are_too_long_are_refused_unread(page: Page) -> None:
    answer = page.put("images/0/marks", GOOD, Content_Length=str(MAX_BYTES + 1))
    assert answer.status_code == 413
    assert page.put("images/0/marks", GOOD, Content_Length="9" * 30).status_code == 413
    assert untouched(page)


def test_a_long_body_without_a_length_is_cut_off(page: Page) -> None:
    given = 0

    def parts() -> Iterator[bytes]:
        nonlocal given
        for _ in range(100):
            given += 1
            yield bytes(1_000_000)

    headers = {"If-Match": '"0"', "X-Token": page.access.write_token, "Content-Type": "image/png"}
    answer = page.http.put("/api/images/0/marks", content=parts(), headers=headers)
    assert answer.status_code == 413
    assert untouched(page)


@pytest.mark.parametrize("side", [5_000, 30_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused(page: Page, side: int) -> None:
    assert page.put("images/0/marks", bomb(side, side)).status_code in (400, 413, 415)
    assert untouched(page)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api/session"), ("GET", "/api/images/0/photo"), ("GET", "/api/images/99"),
     ("GET", "/api/accept"), ("POST", "/api/accept"),
     ("GET", "/nothing"), ("POST", "/"), ("HEAD", "/"), ("PUT", "/api/images/0/marks")],
)  # fmt: skip
def test_every_answer_has_the_headers(page: Page, method: str, path: str) -> None:
    answer = page.http.request(method, path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_even_a_failure_of_ours_has_the_headers(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(page.project.layer, "status", fail)
    client = TestClient(
        create_app(page.project, page.access), base_url=f"http://{HOST}", raise_server_exceptions=False
    )
    answer = client.get("/api/session")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_foreign_answer_has_the_headers_too(page: Page) -> None:
    answer = page.http.get("/", headers={"Host": "evil.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_photos_that_are_links_are_served_as_the_reader_lists_them(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    (folder / "images/cat/c.png").symlink_to(folder / "images/cat/b.png")
    (folder / "images/cat/d.png").symlink_to(secret)
    project = open_project(folder, annotator="anna")
    page = Page(project)
    ids = [image["id"] for image in page.get("images")["images"]]
    assert page.http.get(f"/api/images/{ids.index('images/cat/c.png')}/photo").status_code == 200
    answer = page.http.get(f"/api/images/{ids.index('images/cat/d.png')}/photo")
    assert answer.status_code == 404  # it is no photo
    assert "secret" not in answer.text.replace("secret.txt", "")
    project.close()


@pytest.fixture
def linked(folder: Path, tmp_path: Path) -> Path:
    """The folder with a photo, and a folder of photos, that are links out of it; and a link within."""
    (folder / "images/cat/b.png").rename(tmp_path / "private.png")
    (folder / "images/cat/b.png").symlink_to(tmp_path / "private.png")
    (folder / "images/dog").rename(tmp_path / "dogs")
    (folder / "images/dog").symlink_to(tmp_path / "dogs")
    (folder / "images/cat/z.jpg").symlink_to(folder / "images/cat/a.jpg")
    return folder


@pytest.mark.parametrize("part", ["", "/photo", "/thumbnail", "/superpixels", "/marks"])
def test_links_out_of_the_data_folder_are_not_for_other_machines(linked: Path, part: str) -> None:
    project = open_project(linked, annotator="anna")
    page = Page(project)
    refusing = create_app(project, page.access, follow_links=False)
    elsewhere = TestClient(refusing, base_url=f"http://{HOST}")
    for index, item in enumerate(project.items):
        assert page.http.get(f"/api/images/{index}{part}").status_code == 200
        answer = elsewhere.get(f"/api/images/{index}{part}")
        if item.path.resolve().is_relative_to(linked):
            assert answer.status_code == 200
        else:
            assert answer.status_code == 403
            assert f"{item.id} is a link" in answer.json()["error"]
            assert "--follow-links" in answer.json()["error"]
    project.close()


def test_the_data_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(folder)
    project = open_project(tmp_path / "here", annotator="anna")
    app = create_app(project, Page(project).access, follow_links=False)
    assert TestClient(app, base_url=f"http://{HOST}").get("/api/images/0/photo").status_code == 200
    project.close()


@pytest.mark.parametrize("link", ["signed", "signed/cat"])
def test_marks_are_not_written_through_a_link_out_of_the_layer(
    folder: Path, tmp_path: Path, link: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    project = open_project(folder, annotator="anna")
    page = Page(project)
    linked = project.layer.folder / link
    linked.parent.mkdir(parents=True, exist_ok=True)
    elsewhere.mkdir()
    linked.symlink_to(elsewhere)
    answer = page.put("images/0/marks", GOOD)
    assert answer.status_code == 507
    assert "a link leads out of" in answer.json()["error"]
    assert list(elsewhere.iterdir()) == []
    assert untouched(page)
    project.close()


def test_the_whole_layer_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (folder / "annotators").symlink_to(tmp_path / "marks")
    project = open_project(folder, annotator="anna")
    assert Page(project).put("images/0/marks", GOOD).status_code == 200
    assert (tmp_path / "marks/anna/signed/cat/a.png").is_file()
    project.close()


def test_the_write_token_is_in_the_page_alone(page: Page, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<meta name="token" content="">', encoding="utf-8")
    (tmp_path / "main.js").write_text('"use strict"', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("private", encoding="utf-8")
    client = TestClient(create_app(page.project, page.access, page=tmp_path), base_url=f"http://{HOST}")
    assert client.get("/").text == f'<meta name="token" content="{page.access.write_token}">'
    assert client.get("/static/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/notes.txt").status_code == 404
    assert client.get("/static/index.html").status_code == 404
    (tmp_path / "late.js").write_text("late", encoding="utf-8")
    assert client.get("/static/late.js").status_code == 404
    assert page.access.write_token not in client.get("/api/session").text


def test_without_a_page_it_says_so(page: Page, tmp_path: Path) -> None:
    client = TestClient(create_app(page.project, page.access, page=tmp_path), base_url=f"http://{HOST}")
    assert "page is not installed" in client.get("/").text
