"""The page in each of its states, light and dark, on a phone and a desk, before axe."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from served_page import CLASSES, PHONE, WIDE, Tab, served, unmarked, write_boxes, write_photos

from accessibility import check_names_and_headings, keep_picture, violations
from lookright.annotate.correct import Figures, Progress

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRAINING = Progress("running", "train", 6, 15, 9.0, 100)
CELLS = {"reasonable-accurate": 8, "unreasonable-accurate": 6, "reasonable-inaccurate": 2}
FIGURES = tuple(Figures(0.7, iou, 40, 20, CELLS | {"unreasonable-inaccurate": 4}) for iou in (0.31, 0.52))
DONE = Progress(
    "done", None, 15, 15, 21.4, 100, None, None, *FIGURES, "/data/photos/annotators/anna/.runs/corrected-1"
)
BOX = ((20.5, 20.5), (60.5, 50.5))


def of_others(data: Path) -> None:
    """Marks of anna on two photos, and of ben on one of them."""
    for annotator, numbers, rows in (("anna", (0, 1), 40), ("ben", (1,), 30)):
        for number in numbers:
            marks = unmarked()
            marks[20:rows] = 255
            file = data / "annotators" / annotator / "signed" / CLASSES[0] / f"{CLASSES[0]}{number:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(marks).save(file)


def states(tab: Tab) -> Iterator[str]:
    """The page in each of its states, as a person comes to them."""
    page = tab.page
    yield "opened"
    yield from acceptances(tab)
    tab.open(5)
    page.keyboard.press("m")
    tab.wait("document.querySelector('#map-shown').checked")
    tab.choose("superpixel")
    page.wait_for_selector("#canvas[data-regions=shown]")
    yield "map"
    page.evaluate("document.querySelector('#show-images').click()")
    yield "list"
    page.locator("#others summary").click()
    tab.wait("document.querySelector('#others').innerText.includes('photo')")
    yield "agreement"
    page.evaluate("document.querySelector('#show-images').click()")
    page.locator("#help").click()
    page.wait_for_selector("#keys[open]")
    yield "keys"
    page.keyboard.press("Escape")
    yield from corrections(tab)
    yield from conflicts(tab)
    page.evaluate("document.querySelector('#unsaved').showModal()")
    yield "unsaved"
    page.evaluate("document.querySelector('#unsaved').close()")


def acceptances(tab: Tab) -> Iterator[str]:
    """Marks to start with, before and after all are accepted; those of one photo do not fit."""
    page = tab.page
    tab.open(4)
    page.wait_for_selector("#accept")
    yield "to accept"
    page.locator("#accept-all").click()
    yield "accept all?"
    page.locator("#accept-yes").click()
    tab.wait("document.querySelector('#accept-failed').textContent.includes('another shape')")
    page.evaluate("document.querySelector('#show-images').click()")
    yield "accepted"
    page.locator("#accept-close").click()
    page.evaluate("document.querySelector('#show-images').click()")


def corrections(tab: Tab) -> Iterator[str]:
    """The panel of Correct, with what the server would tell if it had trained."""
    page = tab.page
    told = [TRAINING]
    page.route("**/api/correct", lambda route: route.fulfill(json=asdict(told[-1])))
    page.route("**/map?of=new", lambda route: route.continue_(url=route.request.url.replace("new", "old")))
    page.locator("#correct").click()
    tab.wait("document.querySelector('#correction-text')?.textContent.includes('epoch')")
    yield "training"
    told.append(DONE)
    tab.wait("document.querySelector('#correction-figures table')")
    tab.wait("!document.querySelector('.compare').hidden")
    yield "compare"
    page.locator("#correction-fold").click()
    yield "folded"
    page.unroute("**/api/correct")


def conflicts(tab: Tab) -> Iterator[str]:
    """Another tab has changed the image that is open."""
    page = tab.page
    tab.open(0)
    second = tab.another().open(0)
    second.choose("box")
    second.drag(*BOX)
    second.wait_saved()
    second.page.close()
    tab.choose("box")
    tab.drag((70.5, 70.5), (90.5, 80.5))  # not the same: that would be no conflict
    page.wait_for_selector("#conflict[open]")
    yield "conflict"
    page.keyboard.press("Escape")
    page.wait_for_selector("#conflict", state="hidden")
    yield "undecided"


def test_axe_finds_nothing_in_any_state(browser: "Browser", tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    of_others(data)
    found = []
    start = write_boxes(data, tmp_path / "boxes.json", wrong=5)
    with served(data, model=True, start=start) as server:
        tab = Tab(browser, server, bypass_csp=True).open(1)
        for state in states(tab):
            for size in (WIDE, PHONE):
                tab.page.set_viewport_size(size)
                for scheme, is_dark in (("dark", True), ("light", False)):
                    tab.page.emulate_media(color_scheme=scheme)
                    keep_picture(tab.page, f"annotate {state}", scheme)
                    said = violations(tab.page, only_colours=is_dark)
                    found += [f"{state} {size['width']} {scheme}: {one}" for one in said]
            check_names_and_headings(tab.page)
            tab.page.set_viewport_size(WIDE)
        tab.close()
    assert found == []
