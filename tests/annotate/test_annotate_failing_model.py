"""A model that fails is told in a sentence, and everything but its maps goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import pytest
import torch
from annotate_made import HOST, SIDE, SIZES, Page, random_marks, write_photos
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_page import FakeModel, opened
from starlette.testclient import TestClient
from torch import Tensor

from lookright.annotate.app import create_app
from lookright.annotate.look import Looking
from lookright.annotate.open_project import open_project
from lookright.audit.images import of_split
from lookright.audit.model import open_model
from lookright.engine.channels_last import place
from lookright.errors import NonFiniteError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FAILED = "lookright failed; the terminal tells more"
OUT_OF_MEMORY = RuntimeError("CUDA out of memory")


class Failing(NamedTuple):
    """A model that fails, and what is to be said of it."""

    page: Page
    looking: Looking
    status: int
    sentence: str


def out_of_memory(features: Tensor) -> Tensor:
    raise OUT_OF_MEMORY


def not_finite(features: Tensor) -> Tensor:
    return features * torch.nan


@pytest.fixture(
    scope="module", params=[(out_of_memory, 500, FAILED), (not_finite, 404, "is not finite: train")]
)
def failing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failing]:
    """Photos, and a model beside them whose network raises, or gives nothing but NaN."""
    forward, status, sentence = request.param
    project = open_project(write_photos(tmp_path_factory.mktemp("failing") / "data"), annotator="anna")
    model = open_model("annotate_made:sides", folders=project.images.classes, image_size=SIDE)
    place(model.classifier.network, "cpu")
    model.classifier.network.head.forward = forward
    looking = Looking(model, of_split(project.images, "all", model))
    page = Page(project, looking)
    app = create_app(project, page.access, looking)
    page.http = TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    yield Failing(page, looking, status, sentence)
    looking.close()
    project.close()


@pytest.mark.parametrize("part", ["map", "region"])
def test_what_it_was_asked_for_is_a_sentence_however_often(failing: Failing, part: str) -> None:
    for index in (0, 1, 0):
        answer = failing.page.http.get(f"/api/images/{index}/{part}")
        assert answer.status_code == failing.status
        assert failing.sentence in answer.json()["error"]
        assert "CUDA" not in answer.text


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    index=st.integers(-1, 7) | st.text(max_size=3),
    part=st.sampled_from(["map", "region"]),
    of=st.sampled_from(["old", "new", ""]),
    share=st.floats().map(str) | st.sampled_from(["0.1", "0.5", "", "x"]),
)
def test_no_question_is_answered_otherwise(
    failing: Failing, index: object, part: str, of: str, share: str
) -> None:
    place = quote(f"/api/images/{index}/{part}")
    answer = failing.page.http.get(place, params={"of": of, "share": share})
    assert answer.status_code in (400, 404, failing.status)
    assert answer.json()["error"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_everything_else_goes_on(failing: Failing) -> None:
    page = failing.page
    failing.looking.start()
    while page.get("session")["predicting"]:
        pass
    assert page.get("session")["predicted"] == 0
    assert len(page.order()) == len(SIZES)
    assert page.content("images/0/photo")
    assert page.put_marks(0, random_marks(SIZES["images/cat/a.jpg"])).status_code == 200
    assert page.get("images/0")["status"] == "marked"


def test_the_page_says_so(browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [OUT_OF_MEMORY, NonFiniteError("the map of a.png is not finite: train the model again")]

    def fail(*_: object) -> bytes:
        raise errors.pop(0)

    monkeypatch.setattr(FakeModel, "map", fail)
    with opened(browser, tmp_path, model=True) as tab:
        tab.page.keyboard.press("m")
        tab.wait_message(f"The map is not to be had: {FAILED}")
        tab.page.keyboard.press("m")
        tab.wait_message("The map is not to be had: the map of a.png is not finite: train the model again")
        assert all("Failed to load resource" in line for line in tab.errors)
        tab.errors.clear()  # the browser reports an answer of 404 and 500, whatever the page does about it
