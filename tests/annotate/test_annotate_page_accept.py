"""Marks to start with on the page: accepted with a key, or all at once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from served_page import Pixels, Tab, opened, served, unmarked, write_boxes, write_photos

from lookright.annotate.store import Written

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BOX = ((80.5, 60.5), (90.5, 70.5))


@pytest.fixture
def tab(browser: "Browser", tmp_path: Path) -> Iterator[Tab]:
    """Six photos with the same box to start with."""
    data = write_photos(tmp_path / "data")
    with served(data, start=write_boxes(data, tmp_path / "boxes.json")) as server:
        tab = Tab(browser, server).open()
        yield tab
        tab.close()


def boxed(*more: tuple[tuple[float, float], tuple[float, float]]) -> Pixels:
    expected = unmarked()
    for (left, top), (right, bottom) in (((20, 20), (69, 59)), *more):
        expected[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 255
    return expected


def away(tab: Tab, index: int) -> int:
    """Wait until another image is open: which."""
    tab.wait(f"location.hash !== '#image-{index}'")
    tab.wait_open(None)
    return int(tab.page.evaluate("location.hash").rsplit("-", 1)[1])


def test_the_keyboard_accepts_and_goes_on(tab: Tab) -> None:
    page = tab.page
    assert "Marks from boxes.json, not yet yours" in page.locator("#facts").inner_text()
    assert page.locator("#image-status").inner_text() == "To accept"
    assert page.locator("#nothing").is_hidden()
    assert (
        page.get_by_role("button", name="Accept A", exact=True).get_attribute("aria-describedby") == "start"
    )
    page.keyboard.press("a")
    second = away(tab, 0)
    tab.wait_message("marks from boxes.json")
    page.locator("#accept").focus()
    page.keyboard.press("Enter")
    away(tab, second)
    assert page.evaluate("document.activeElement.id") == "accept"
    for index in (0, second):
        np.testing.assert_array_equal(tab.served.mask(index), boxed())
        assert tab.served.status(index) == "marked"
        assert page.locator("#list .status").nth(index).inner_text() == "Marked"
    assert page.locator("#progress-shown").inner_text() == "2 of 6 done"
    assert page.locator("#accept-all").inner_text() == "Accept all 4 photos with marks to start from"
    page.keyboard.press("Shift+N")
    tab.wait_open(second)
    assert page.locator("#accept").is_hidden()
    assert page.evaluate("document.activeElement.id") == "next"
    page.keyboard.press("a")
    tab.wait_message("yours already")
    assert tab.served.get(f"/api/images/{second}")["version"] == 1


def test_what_is_drawn_on_is_accepted_by_that(tab: Tab) -> None:
    tab.choose("box")
    tab.drag(*BOX)
    tab.wait_saved()
    assert tab.page.locator("#accept").is_hidden()
    assert tab.page.locator("#nothing").is_visible()
    assert "not yet yours" not in tab.page.locator("#facts").inner_text()
    tab.page.keyboard.press("z")  # the marks to start with, which are the annotator's by now
    tab.wait_saved()
    np.testing.assert_array_equal(tab.served.mask(0), boxed())
    assert tab.page.locator("#accept").is_hidden()


def test_accepting_what_another_tab_has_drawn_on_asks(tab: Tab) -> None:
    second = tab.another().open(0)
    tab.choose("box")
    tab.drag(*BOX)
    tab.wait_saved()
    second.page.keyboard.press("a")
    second.page.wait_for_selector("#conflict[open]")
    np.testing.assert_array_equal(tab.served.mask(0), boxed(BOX))
    second.page.get_by_role("button", name="Load theirs").click()
    second.wait_saved()
    assert second.page.locator("#image-status").inner_text() == "Marked"
    assert "not yet yours" not in second.page.locator("#facts").inner_text()
    assert second.page.locator("#nothing").is_visible()
    assert second.page.locator("#accept").is_hidden()
    assert "Accept all 5 photos" in second.page.locator("#accept-all").inner_text()
    np.testing.assert_array_equal(tab.served.mask(0), boxed(BOX))


def test_all_at_once(tab: Tab) -> None:
    page = tab.page
    tab.choose("box")
    tab.drag(*BOX)
    tab.open(1)
    page.keyboard.press("k")
    index = away(tab, 1)
    page.locator("#filter-status").select_option("to-accept")
    tab.wait("document.querySelectorAll('#list li').length === 4")
    page.locator("#accept-all").click()
    dialog = page.locator("#accept-dialog[open]")
    assert dialog.get_by_role("heading").inner_text() == "Accept the marks of 4 photos?"
    assert "from boxes.json will be written, as they are, to annotators/anna" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    assert page.locator("#accept-run").is_hidden()
    page.locator("#accept-all").click()
    dialog.get_by_role("button", name="Accept 4 photos").click()
    tab.wait("document.querySelector('#accept-text').textContent === '4 photos accepted.'")
    tab.wait("document.querySelector('#listed').textContent === 'No image is like this'")
    np.testing.assert_array_equal(tab.served.mask(0), boxed(BOX))
    assert tab.served.status(1) == "skipped"
    for other in range(2, 6):
        np.testing.assert_array_equal(tab.served.mask(other), boxed())
    assert page.locator("#progress-shown").inner_text() == "6 of 6 done"
    page.locator("#accept-close").click()
    assert page.locator("#accepting").is_hidden()
    # The image that is open was accepted too: drawing on is no conflict.
    tab.wait("document.querySelector('#image-status').textContent === 'Marked'")
    assert page.locator("#accept").is_hidden()
    tab.drag(*BOX)
    tab.wait_saved()
    np.testing.assert_array_equal(tab.served.mask(index), boxed(BOX))


def accept_all(tab: Tab) -> None:
    tab.page.locator("#accept-all").click()
    tab.page.locator("#accept-yes").click()


def test_what_another_tab_accepts_is_shown_and_can_be_stopped(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tab.another().open(1)
    layer = tab.served.project.layer
    written, may_write = layer.put_marks, threading.Event()

    def wait_and_write(*args: Any) -> Written:
        assert may_write.wait(60)
        time.sleep(0.3)  # until the server knows that it is to stop
        return written(*args)

    monkeypatch.setattr(layer, "put_marks", wait_and_write)
    accept_all(tab)
    tab.wait("document.querySelector('#accept-text').textContent === '0 of 6 accepted'")
    accept_all(second)
    second.wait_message("Nothing was started: photos are being accepted already")
    second.wait("document.querySelector('#accept-text').textContent === '0 of 6 accepted'")
    second.wait("document.activeElement.id === 'accept-stop'")
    second.page.keyboard.press("Enter")
    may_write.set()
    for each in (second, tab):
        each.wait("document.querySelector('#accept-text').textContent.startsWith('Stopped: ')")
        each.wait("document.querySelector('#progress-shown').textContent !== '0 of 6 done'")


def test_what_another_tab_has_accepted_is_not_offered_any_more(tab: Tab) -> None:
    second = tab.another().open(1)
    accept_all(tab)
    tab.wait("document.querySelector('#accept-text').textContent === '6 photos accepted.'")
    accept_all(second)
    second.wait_message("Nothing was started: no photo has marks to start from")
    second.wait("document.querySelector('#accepting').hidden")
    second.wait("document.querySelector('#progress-shown').textContent === '6 of 6 done'")


def test_what_could_not_be_accepted_is_scrolled_with_space(tab: Tab) -> None:
    tab.page.evaluate(
        """() => {
      const list = document.getElementById("accept-failed");
      list.replaceChildren(...Array.from({ length: 60 }, () => document.createElement("li")));
      for (const line of list.children) line.textContent = "a photo: the reason";
      for (const part of [list, list.parentElement, list.parentElement.parentElement]) part.hidden = false;
      list.focus();
    }"""
    )
    tab.page.keyboard.press("Space")
    tab.wait("document.getElementById('accept-failed').scrollTop > 0")


def test_where_there_is_nothing_to_start_from(browser: "Browser", tmp_path: Path) -> None:
    with opened(browser, tmp_path, per_class=1) as tab:
        assert tab.page.locator("#accept").is_hidden()
        assert tab.page.locator("#accepting").is_hidden()
        assert "To accept" not in tab.page.locator("#filter-status").inner_text()
        tab.page.keyboard.press("a")
        tab.wait_message("There are no marks to accept here")
        assert tab.served.status(0) == "open"
