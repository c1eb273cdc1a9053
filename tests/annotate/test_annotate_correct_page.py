"""The button Correct on the page: progress, both figures, and the divider between two maps."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from annotate_corrected import mark, train_small, write_split_photos
from served_page import PHONE, WIDE, Served, Tab, running

from lookright.annotate.correct import Corrections, Figures, Progress
from lookright.annotate.look import open_looking
from lookright.annotate.open_project import open_project
from lookright.annotate.order import Prediction

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MARKED = [0, 1, 4, 6, 7, 10]
TRAINED_ON = 4
PATIENCE = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos without marks, and a run of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("correct-page")
    data = write_split_photos(folder / "data")
    return data, train_small(data, folder / "run")


@contextmanager
def served(data: Path, run: Path | None) -> Iterator[tuple[Served, Corrections]]:
    """The real server over photos and a run, until the end of the block."""
    project = open_project(data, annotator="anna")
    looking: Any = None if run is None else open_looking(str(run), project.images, device="cpu")
    corrections = Corrections(project, looking, device="cpu")
    try:
        with running(project, looking, corrections=corrections) as server:
            yield server, corrections
    finally:
        corrections.close()
        project.close()


@contextmanager
def opened(
    browser: "Browser", data: Path, folder: Path, run: Path | None, **context: Any
) -> Iterator[tuple[Tab, Corrections]]:
    """A tab over a copy of photos."""
    with served(Path(shutil.copytree(data, folder / "data")), run) as (server, corrections):
        tab = Tab(browser, server, **context).open()
        yield tab, corrections
        tab.close()


def text(tab: Tab) -> str:
    return tab.page.locator("#correction").inner_text()


def middle(tab: Tab, share: float) -> list[int]:
    """The colour of the canvas in the middle of the photo's height, at a share of its width."""
    place = """share => {
      const canvas = document.getElementById("canvas");
      const [scale, left, top] = canvas.dataset.view.split(" ").map(Number);
      const at = [left + share * 32 * scale, top + 16 * scale].map((v) => Math.round(v * devicePixelRatio));
      return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
    }"""
    return [int(value) for value in tab.page.evaluate(place, share)]


def test_correct_shows_progress_then_figures_and_both_maps(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = made
    with opened(browser, data, tmp_path, run) as (tab, corrections):
        mark(tab.served.project, MARKED)
        page = tab.page
        assert not page.locator("#correction").is_visible()
        page.keyboard.press("Shift+C")
        tab.wait_message("The correction has started")
        tab.wait("document.querySelector('#correction-text')?.textContent.includes('epoch')")
        assert f"Training on {TRAINED_ON} marked photos" in text(tab)
        assert page.get_by_role("progressbar", name="Progress of the correction").is_visible()
        assert page.evaluate("document.activeElement.id") == "correction-cancel"
        tab.wait("document.querySelector('#correction-figures table')", PATIENCE)
        tab.wait_message("The correction is done")

        told = corrections.told()
        rows = [row.split("\t") for row in page.locator("#correction tr").all_inner_texts()]
        assert [cell.strip() for cell in rows[0] if cell.strip()] == ["Old", "New", "Difference"]
        assert rows[1][0] == "Accuracy"
        assert rows[1][1:3] == [f"{round(100 * told[name]['accuracy'])} %" for name in ("old", "new")]
        assert rows[2][1:3] == [f"{told[name]['iou']:.2f}" for name in ("old", "new")]
        assert rows[2][3].endswith(("better", "worse", "no difference"))
        assert "On 4 test photos, 2 of them marked" in text(tab)
        assert 'Shares of the 2 test photos marked "look here"' in text(tab)
        for row, cell in zip(rows[4:], CELLS, strict=True):
            assert row[1:3] == [f"{50 * told[name]['reasonability'][cell]} %" for name in ("old", "new")]

        tab.wait("!document.querySelector('.compare').hidden")
        tab.wait("/class of \\d+ photos?\\./.test(document.querySelector('#correction-changed').innerText)")
        slider = page.get_by_role("slider", name="Divider")
        slider.focus()
        page.keyboard.press("Home")  # nothing of the old map
        page.wait_for_timeout(200)
        new = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        page.keyboard.press("End")
        page.wait_for_timeout(200)
        old = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        assert old != new
        slider.fill("50")
        page.wait_for_timeout(200)
        both = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        np.testing.assert_allclose(both, [*old[:2], *new[2:]], atol=3)

        page.locator("#canvas").focus()
        page.keyboard.press("m")
        tab.wait_message("Both maps hidden")
        page.wait_for_timeout(200)
        plain = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        assert plain not in (old, new, both)
        assert not page.locator("#compare-shown").is_checked()
        assert not page.locator("#map-shown").is_checked()
        page.keyboard.press("m")
        tab.wait_message("Both maps shown")
        tab.wait("!document.querySelector('.compare').hidden")
        page.wait_for_timeout(200)
        again = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        np.testing.assert_allclose(again, both, atol=3)
        assert page.locator("#map-check").is_hidden()

        tab.wait("document.querySelector('#facts').textContent.includes('New: ')")
        said = page.locator("#facts").inner_text()
        old_one, new_one = corrections.old, corrections.new
        assert old_one is not None
        assert new_one is not None
        for who, one in (("Old", old_one), ("New", new_one)):
            assert f"{who}: {one.classes[one.predictions[0].predicted]}" in said
        assert "Model: " not in said
        page.locator("#compare-shown").uncheck()
        tab.wait("document.querySelector('.compare').hidden")
        page.wait_for_timeout(200)
        again = [middle(tab, share) for share in (0.1, 0.3, 0.7, 0.9)]
        np.testing.assert_allclose(again, plain, atol=3)
        page.keyboard.press("m")
        tab.wait_message("Map shown")
        page.keyboard.press("m")
        assert "Model: " in page.locator("#facts").inner_text()
        page.reload()  # what is done is still told
        tab.wait("document.querySelector('#correction-figures table')")
        assert not page.locator("#compare-shown").is_checked()


def test_a_correction_is_folded_and_its_figures_come_back(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = made
    with opened(browser, data, tmp_path, run) as (tab, corrections):
        page = tab.page
        assert corrections.old is not None
        corrections.old.predict_all()
        new = corrections.looking(str(run))
        new.predict_all()
        new.predictions[3] = Prediction(1 - new.predictions[3].predicted, 0.8)  # the same run but for that
        corrections._progress = replace(DONE, run=str(run))
        page.reload()
        tab.wait("document.querySelector('#correction-figures table')")
        page.locator("#compare-shown").check()
        tab.wait("!document.querySelector('.compare').hidden")
        high = page.locator("#stage").bounding_box()["height"]
        page.get_by_role("button", name="Fold").click()
        assert page.locator("#correction-figures").is_hidden()
        assert page.locator("#stage").bounding_box()["height"] > high + 150
        assert not page.locator(".compare").is_hidden()
        page.get_by_role("button", name="Correct", exact=True).click()  # refused: nothing is marked
        tab.wait_message("Nothing was started")
        assert page.locator("#correction-figures table").count() == 0
        page.get_by_role("button", name="Close").click()
        tab.wait("document.querySelector('#correction-figures table')")

        assert "The new model says another class of 1 photo." in text(tab)
        page.get_by_role("button", name="List them").click()
        tab.wait("document.querySelectorAll('#list li').length === 1")
        row = page.locator("#list li").inner_text()
        assert "3.png" in row
        assert f"now {new.classes[new.predictions[3].predicted]}" in row
        assert page.locator("#filter-model").input_value() == "changed"


def test_it_can_be_cancelled(browser: "Browser", made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = made
    with opened(browser, data, tmp_path, run) as (tab, corrections):
        mark(tab.served.project, MARKED)
        tab.page.get_by_role("button", name="Correct").click()
        tab.page.get_by_role("button", name="Cancel").last.click()
        tab.wait_message("The correction was cancelled")
        assert "nothing of it is left" in text(tab)
        assert not corrections.runs.exists()


def test_what_another_tab_has_started_can_be_cancelled_too(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = made
    with opened(browser, data, tmp_path, run) as (tab, corrections):
        mark(tab.served.project, MARKED)
        corrections.start()
        tab.page.get_by_role("button", name="Correct").click()
        tab.wait_message("Nothing was started: a correction is running")
        tab.wait("document.querySelector('#correction-text').textContent.startsWith('Training on')")
        tab.page.get_by_role("button", name="Cancel").last.click()
        tab.wait_message("The correction was cancelled")
        assert corrections.told()["state"] == "cancelled"


def test_what_is_refused_is_said(browser: "Browser", made: tuple[Path, Path], tmp_path: Path) -> None:
    with opened(browser, made[0], tmp_path, None) as (tab, _):
        tab.page.get_by_role("button", name="Correct").click()
        tab.wait_message("0 photos are marked; mark 2 or more")
        assert "0 photos are marked" in text(tab)


def test_a_failure_is_said(browser: "Browser", made: tuple[Path, Path], tmp_path: Path) -> None:
    with opened(browser, made[0], tmp_path, None) as (tab, corrections):
        corrections._progress = Progress("running", "train", 3, 15, 4.0, 6)
        tab.page.reload()
        tab.wait("document.querySelector('#correction-text')?.textContent.includes('epoch')")
        corrections._progress = Progress("failed", "train", error="the disk is full")
        tab.wait_message("The correction has failed: the disk is full")
        assert "Failed: the disk is full" in text(tab)


CELLS = ("reasonable-accurate", "unreasonable-accurate", "reasonable-inaccurate", "unreasonable-inaccurate")
FIGURES = (
    Figures(0.7, 0.31, 40, 20, dict(zip(CELLS, (4, 11, 1, 4), strict=True))),
    Figures(0.75, 0.52, 40, 20, dict(zip(CELLS, (12, 4, 2, 2), strict=True))),
)
DONE = Progress("done", None, 15, 15, 21.4, 100, None, None, *FIGURES)


@pytest.mark.parametrize("size", [PHONE, {"width": 1160, "height": 900}, WIDE])
def test_the_panel_fits(browser: "Browser", made: tuple[Path, Path], tmp_path: Path, size: Any) -> None:
    data, run = made
    with opened(browser, data, tmp_path, run, viewport=size) as (tab, corrections):
        for progress in (Progress("running", "train", 6, 15, 9.0, 100), DONE):
            corrections._progress = progress
            tab.page.reload()
            tab.wait("!document.querySelector('#correction').hidden")
            wide, window = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide <= window
            inner = tab.page.evaluate(
                "[...document.querySelectorAll('#correction, #correction *')]"
                ".filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1)"
                ".map(e => e.id || e.tagName)"
            )
            assert inner == []
        assert "+5 points, better" in text(tab)
        assert "+0.21, better" in text(tab)
        table = tab.page.get_by_role("table", name="Shares of the 20 test photos")
        assert [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()] == [
            ["Right, map on the marks", "20 %", "60 %", "+40 points, better"],
            ["Right, map elsewhere", "55 %", "20 %", "−35 points"],
            ["Wrong, map on the marks", "5 %", "10 %", "+5 points"],
            ["Wrong, map elsewhere", "20 %", "10 %", "−10 points"],
        ]
        assert table.get_by_role("rowheader").count() == 4
        assert table.get_by_role("columnheader").all_inner_texts() == ["Old", "New", "Difference"]


def test_without_overlaps_there_is_no_reasonability(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    with opened(browser, made[0], tmp_path, None) as (tab, corrections):
        figures = Figures(0.75, None, 40, 0, None)
        corrections._progress = Progress("done", None, 15, 15, 21.4, 100, None, None, None, figures)
        tab.page.reload()
        tab.wait("document.querySelectorAll('#correction-figures table').length === 1")
        assert "so there is no overlap: mark some of them" in text(tab)


def test_the_opacity_of_the_new_map_is_chosen_without_an_old_model(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = made
    with opened(browser, data, tmp_path, None) as (tab, corrections):
        assert tab.page.locator("#model").is_hidden()
        corrections._progress = replace(DONE, old=None, run=str(run))
        tab.page.reload()
        tab.wait("document.querySelector('#correction-figures table')")
        plain = middle(tab, 0.3)
        tab.page.locator("#compare-shown").check()
        end = time.monotonic() + PATIENCE
        while middle(tab, 0.3) == plain:
            assert time.monotonic() < end
            tab.page.wait_for_timeout(50)
        assert tab.page.locator("#map-check").is_hidden()
        assert tab.page.locator("#use-region").is_hidden()
        tab.page.get_by_role("slider", name="Opacity").press("Home")
        tab.page.wait_for_timeout(200)
        assert middle(tab, 0.3) == plain


def test_nothing_is_trained_without_what_could_not_be_saved(
    browser: "Browser", made: tuple[Path, Path], tmp_path: Path
) -> None:
    with opened(browser, made[0], tmp_path, None) as (tab, corrections):
        mark(tab.served.project, MARKED)
        tab.page.route("**/marks", lambda route: route.abort())
        tab.choose("box")
        tab.drag((5.5, 5.5), (8.5, 8.5))
        tab.wait_message("Not saved")
        tab.page.get_by_role("button", name="Correct").click()
        tab.wait_message("Nothing was started: the image that is open could not be saved")
        assert "could not be saved" in text(tab)
        assert corrections.told()["state"] == "none"
        tab.errors.clear()
