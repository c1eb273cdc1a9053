"""Whatever is asked, no answer is a failure of ours."""

import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from annotate_made import SIDE, SIZES, Page, png, random_marks, write_photos
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookright.annotate.commands import Commands
from lookright.annotate.correct import Corrections
from lookright.annotate.look import Looking
from lookright.annotate.open_project import open_project
from lookright.audit.images import of_split
from lookright.audit.model import open_model
from lookright.engine.channels_last import place

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

PARTS = ("", "/photo", "/thumbnail", "/map", "/region", "/superpixels", "/marks", "/status", "/none")
indices = st.one_of(st.integers(-3, 12).map(str), st.text(string.printable, max_size=12))
words = st.text(max_size=12)
names = st.sampled_from(
    ["offset", "limit", "status", "class", "name", "model", "level", "share", "of", "refresh", "token", "x"]
)
values = st.one_of(
    st.integers(-5, 300).map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "open",
            "marked",
            "nothing",
            "skipped",
            "to-accept",
            "cat",
            "dog",
            "",
            "old",
            "new",
            "0.15",
            "wrong",
            "changed",
            "0.1",
            "nan",
            "1",
        ]
    ),
    words,
)
queries = st.dictionaries(names, values, max_size=4)
addresses = st.one_of(
    st.builds(lambda index, part: f"/api/images/{index}{part}", indices, st.sampled_from(PARTS)),
    st.sampled_from(
        ["/", "/api/session", "/api/images", "/api/next", "/api/coco", "/api/accept", "/static/"]
    ),
    st.sampled_from(["/api/correct", "/api/agreement", "/api/"]),
    st.text(max_size=30).map(lambda text: "/" + text),
    st.text(max_size=30).map(lambda text: "/static/" + text),
)
versions = st.one_of(
    st.integers(-1, 4).map(lambda number: f'"{number}"'), st.text(string.printable, max_size=8)
)
sizes = st.one_of(st.sampled_from(list(SIZES.values())), st.tuples(st.integers(1, 40), st.integers(1, 40)))
modes = st.sampled_from(["L", "LA", "RGB", "RGBA", "1", "P", "I;16", "CMYK"])


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A PNG that may be of the right size, mode and values, whole or damaged."""
    width, height = draw(sizes)
    wanted = draw(st.sampled_from([[0, 128, 255], [128], [0, 1, 254]]))
    random = np.random.default_rng(draw(st.integers(0, 5)))
    pixels = random.choice(wanted, (height, width)).astype(np.uint8)
    mode = draw(modes)
    body = png(pixels.astype(np.uint16)) if mode == "I;16" else png(pixels, None if mode == "CMYK" else mode)
    damaged = bytearray(body)
    for at in draw(st.lists(st.integers(0, len(body) - 1), max_size=2)):
        damaged[at] ^= draw(st.integers(0, 255))
    return bytes(damaged[: draw(st.one_of(st.none(), st.integers(0, len(body))))])


bodies = st.one_of(
    pictures(),
    st.binary(max_size=200),
    st.sampled_from([b'{"status": "nothing"}', b'{"status": "open"}', b'{"status": 1}', b"[]", b"null"]),
    st.sampled_from([b"[0, 3]", b"[-1, 1e9]", b"[[0]]", b"[true]", b"[" * 900, b"9" * 900]),
)


class QuickCorrections(Corrections):
    """Trained at once: the new model is the old one."""

    def _work(self, commands: Commands, run: Path, options: dict[str, Any]) -> None:
        self._progress = replace(self._progress, state="done", run=str(run))

    def looking(self, run: str) -> Looking:
        assert self.old is not None
        return self.old


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Photos, a model and a corrected one beside them, marks of another annotator, one of them damaged."""
    folder: Path = write_photos(tmp_path_factory.mktemp("fuzz") / "data")
    for number, (name, size) in enumerate(SIZES.items()):
        file = folder / "annotators/ben/signed" / Path(name).relative_to("images").with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(random_marks(size)) if number else b"damaged")
    project = open_project(folder, annotator="anna")
    model = open_model("annotate_made:sides", folders=project.images.classes, image_size=SIDE)
    place(model.classifier.network, "cpu")
    looking = Looking(model, of_split(project.images, "all", model))
    corrections = QuickCorrections(project, looking, device="cpu")
    page = Page(project, looking, corrections)
    for index, size in enumerate(SIZES.values()):
        page.put_marks(index, random_marks(size, seed=1))
    corrections.start()
    while page.get("correct")["state"] == "running":
        pass
    page.get("agreement", refresh=1)
    yield page
    corrections.close()
    looking.close()
    project.close()


def url(address: str) -> str:
    """Text as a browser's address: what cannot stand there is escaped."""
    return quote(address, safe="/%.,;:")


@FUZZ
@given(address=addresses, query=queries)
def test_no_question_breaks_it(fuzzed: Page, address: str, query: dict[str, str]) -> None:
    answer = fuzzed.http.get(url(address), params=query)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.json()["error"]


@FUZZ
@given(index=indices, part=st.sampled_from(PARTS), body=bodies, version=versions, length=st.none() | words)
def test_no_write_breaks_it(
    fuzzed: Page, index: str, part: str, body: bytes, version: str, length: str | None
) -> None:
    headers = {"X-Token": fuzzed.access.write_token, "If-Match": version, "Content-Type": "image/png"}
    if length is not None:
        headers["Content-Length"] = length
    sent = {name: value.encode("utf-8") for name, value in headers.items()}
    answer = fuzzed.http.put(url(f"/api/images/{index}{part}"), content=body, headers=sent)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.json()["error"]


@FUZZ
@given(method=st.sampled_from(["POST", "PUT", "DELETE", "PATCH"]), body=bodies, length=st.none() | words)
def test_nothing_sent_to_accept_breaks_it(fuzzed: Page, method: str, body: bytes, length: str | None) -> None:
    headers = {"X-Token": fuzzed.access.write_token} | ({} if length is None else {"Content-Length": length})
    sent = {name: value.encode("utf-8") for name, value in headers.items()}
    answer = fuzzed.http.request(method, "/api/accept", content=body, headers=sent)
    assert answer.status_code in (200, 405, 409)  # there is nothing to accept


@FUZZ
@given(method=st.sampled_from(["POST", "PUT", "DELETE", "PATCH"]), body=bodies)
def test_nothing_sent_to_correct_or_next_breaks_it(fuzzed: Page, method: str, body: bytes) -> None:
    for address in ("/api/correct", "/api/next", "/api/agreement"):
        answer = fuzzed.http.request(
            method, address, content=body, headers={"X-Token": fuzzed.access.write_token}
        )
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert answer.json()["error"]


@FUZZ
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Host", "Origin", "Sec-Fetch-Site", "X-Token", "Cookie", "If-Match", "Content-Type"]
        ),
        words,
    ),
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST", "OPTIONS", "DELETE"]),
)
def test_no_header_breaks_it(fuzzed: Page, headers: dict[str, str], method: str) -> None:
    sent = {name: value.encode("utf-8") for name, value in headers.items()}
    answer = fuzzed.http.request(method, "/api/images/0/marks", headers=sent)
    assert answer.status_code < 500


@pytest.mark.parametrize("part", ["map", "region", "superpixels", "photo", "thumbnail"])
def test_it_was_no_fuzz_of_pages_that_there_are_not(fuzzed: Page, part: str) -> None:
    assert fuzzed.content(f"images/0/{part}")


def test_nor_without_a_corrected_model(fuzzed: Page) -> None:
    assert fuzzed.content("images/0/map", of="new")


def test_afterwards_everything_is_whole(fuzzed: Page) -> None:
    assert fuzzed.get("agreement")["others"][0]["annotator"] == "ben"
    for index, size in enumerate(SIZES.values()):
        marks, version = fuzzed.marks(index)
        assert marks.shape == size[::-1]
        assert version == fuzzed.get(f"images/{index}")["version"]
