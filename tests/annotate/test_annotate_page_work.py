"""Working through images on the page: saving, two tabs, the list, the next image, what the model says."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from served_page import (
    ANNOTATOR,
    HEIGHT,
    WIDTH,
    Served,
    Tab,
    draw_photo,
    held_port,
    opened,
    served,
    unmarked,
    write_photos,
)

from lookright.annotate.order import Prediction, teaching_order

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Route

BOX = ((20.5, 20.5), (40.5, 30.5))
OTHER_BOX = ((60.5, 50.5), (90.5, 80.5))


@pytest.fixture(scope="module")
def one_tab(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with opened(browser, tmp_path_factory.mktemp("work")) as tab:
        yield tab


@pytest.fixture
def tab(one_tab: Tab) -> Iterator[Tab]:
    one_tab.renew()
    one_tab.open().choose("box")
    yield one_tab
    one_tab.check()


@pytest.fixture(scope="module")
def one_with_model(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with opened(browser, tmp_path_factory.mktemp("model"), model=True) as tab:
        yield tab


@pytest.fixture
def with_model(one_with_model: Tab) -> Iterator[Tab]:
    one_with_model.renew()
    yield one_with_model.open()
    one_with_model.check()


def boxed(*boxes: tuple[tuple[float, float], tuple[float, float]]) -> np.ndarray:
    expected = unmarked()
    for (left, top), (right, bottom) in boxes:
        expected[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 255
    return expected


def on_disk(tab: Tab, index: int = 0) -> np.ndarray:
    mask = tab.served.mask(index)
    assert mask is not None
    return mask


def shown(tab: Tab, x: float, y: float) -> str:
    """What the page says that a pixel is."""
    tab.page.mouse.move(*tab.at(x, y))
    tab.page.locator("#canvas").focus()
    for key in ("Shift+ArrowRight", "Shift+ArrowLeft"):
        tab.page.keyboard.press(key)
    tab.wait_message(f"Column {int(x)}, row {int(y)}")
    return tab.message().split(": ")[1]


def test_a_reload_loses_nothing_that_was_said_to_be_saved(tab: Tab) -> None:
    tab.drag(*BOX)
    tab.wait_saved()
    tab.page.reload()
    tab.wait_open(0)
    assert tab.page.locator("#image-status").inner_text() == "Marked"
    assert shown(tab, 30.5, 25.5) == "look here"
    assert shown(tab, 50.5, 25.5) == "unmarked"
    tab.choose("box")
    tab.drag(*OTHER_BOX)
    tab.wait_saved()
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX, OTHER_BOX))


def test_what_was_chosen_outlives_a_reload(with_model: Tab) -> None:
    page = with_model.page
    page.keyboard.press("e")
    page.keyboard.press("m")
    page.get_by_role("slider", name="Opacity").press("Home")
    page.locator("#help").click()
    page.locator("#letters").uncheck()
    page.reload()
    with_model.wait_open(None)
    assert page.locator("input[value=eraser]").is_checked()
    assert page.locator("#map-shown").is_checked()
    assert page.locator("#map-opacity-shown").inner_text() == "0 %"
    page.keyboard.press("p")  # single keys are off still
    assert page.locator("input[value=eraser]").is_checked()
    page.evaluate("localStorage.setItem('lookright-annotate', '{\"tool\":')")  # damaged
    another = with_model.another().open()
    assert another.page.locator("input[value=brush]").is_checked()
    another.check()


def test_a_write_under_way_is_not_said_to_be_saved(tab: Tab) -> None:
    waiting: list[Route] = []
    released: list[bool] = []

    def hold(route: "Route") -> None:
        if is_write(route) and not released:
            waiting.append(route)
        else:
            route.continue_()

    before = tab.served.get("/api/images/0")["version"]
    tab.page.route("**/marks", hold)
    tab.drag(*BOX)
    tab.drag(*OTHER_BOX)
    tab.wait("document.querySelector('#saved').textContent === 'Saving'")
    while not waiting:
        tab.page.wait_for_timeout(20)
    assert len(waiting) == 1  # one at a time
    assert asked_before_leaving(tab) == "beforeunload"
    released.append(True)
    waiting[0].continue_()
    tab.wait_saved()
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX, OTHER_BOX))
    assert tab.served.get("/api/images/0")["version"] == before + 2  # the newest marks, not every stroke


def asked_before_leaving(tab: Tab) -> str:
    """What the browser asks where the page is loaded anew; the answer is to stay."""
    asked: list[str] = []

    def stay(dialog: "Dialog") -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    tab.page.once("dialog", stay)
    tab.page.evaluate("setTimeout(() => location.reload())")
    while not asked:
        tab.page.wait_for_timeout(20)
    return asked[0]


def is_write(route: "Route") -> bool:
    return route.request.method == "PUT"


def test_what_could_not_be_saved_is_kept_and_said(tab: Tab) -> None:
    tab.page.route("**/marks", lambda route: route.abort() if is_write(route) else route.continue_())
    tab.drag(*BOX)
    tab.wait_message("Not saved: the server does not answer")
    assert tab.page.locator("#saved").inner_text() == "Not saved"
    tab.page.locator("#next").click()
    tab.page.locator("#unsaved[open]").get_by_role("button", name="Stay here").click()
    assert tab.page.evaluate("location.hash") == "#image-0"
    tab.page.unroute("**/marks")
    tab.page.get_by_role("button", name="Try again").click()
    tab.wait_saved()
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
    assert all("ERR_FAILED" in error for error in tab.errors)
    tab.errors.clear()


def test_it_tries_again_by_itself(tab: Tab) -> None:
    failures: list[str] = []

    def fail_once(route: "Route") -> None:
        if is_write(route) and not failures:
            failures.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    tab.page.route("**/marks", fail_once)
    tab.drag(*BOX)
    tab.wait_message("Not saved: the server does not answer")
    tab.wait_saved()
    tab.wait_message("Saved now")
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
    tab.errors.clear()


def test_a_write_whose_answer_was_lost_is_no_conflict(tab: Tab) -> None:
    lost: list[int] = []

    def lose_first(route: "Route") -> None:
        if is_write(route) and not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    tab.page.route("**/marks", lose_first)
    tab.drag(*BOX)
    tab.wait("document.querySelector('#saved').textContent === 'Not saved'")
    tab.wait_saved()
    assert lost == [200]
    assert tab.page.locator("#conflict").is_hidden()
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
    tab.errors.clear()


def test_a_server_that_was_started_anew_takes_the_marks(browser: "Browser", tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    with held_port() as port:
        with served(data, port=port) as server:
            tab = Tab(browser, server).open()
        tab.choose("box")
        tab.drag(*BOX)
        tab.wait_message("Not saved")
        with served(data, port=port) as tab.served:
            tab.page.get_by_role("button", name="Try again").click()
            tab.wait_saved()
            np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
            tab.errors.clear()  # the browser reports what failed meanwhile
            tab.close()


@pytest.mark.parametrize("other", ["photos", "annotator"])
def test_a_server_of_another_project_is_told_from_the_one_before(
    browser: "Browser", tmp_path: Path, other: str
) -> None:
    data = write_photos(tmp_path / "data")
    added = data / "images/boat/a first one.png"
    with held_port() as port:
        with served(data, port=port) as server:
            tab = Tab(browser, server).open()
        if other == "photos":
            draw_photo(9).save(added)
        with served(data, port=port, annotator="ben" if other == "annotator" else ANNOTATOR) as server:
            tab.choose("box")
            tab.drag(*BOX)
            tab.wait_message("are served here now")
            tab.page.locator("#skip").click()
            tab.wait_message("are served here now")
            assert server.mask(0) is None
            assert server.status(0) == "open"
        added.unlink(missing_ok=True)
        with served(data, port=port) as tab.served:  # what was drawn is in the tab still
            tab.page.get_by_role("button", name="Try again").click()
            tab.wait_saved()
            np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
            tab.errors.clear()
            tab.close()


def test_marks_do_not_go_through_a_canvas(tab: Tab) -> None:
    """Browsers may read nothing or noise from one: where it is large, or to fight fingerprinting."""
    tab.drag(*BOX)
    tab.wait_saved()
    tab.page.add_init_script(
        "CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) => new ImageData(w, h)"
    )
    tab.page.reload()
    tab.wait_open(0)
    assert shown(tab, 30.5, 25.5) == "look here"
    tab.choose("box")
    tab.drag(*OTHER_BOX)
    tab.wait_saved()
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX, OTHER_BOX))


@pytest.fixture
def two_tabs(tab: Tab) -> tuple[Tab, Tab]:
    """Two tabs with one image: the first has saved a box, the second has drawn another one since."""
    second = tab.another().open(0)
    second.choose("box")
    tab.drag(*BOX)
    tab.wait_saved()
    second.drag(*OTHER_BOX)
    second.page.wait_for_selector("#conflict[open]")
    assert second.page.locator("#saved").inner_text() == "Not saved"
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX))
    return tab, second


def test_of_two_tabs_the_second_can_load_what_the_first_has_saved(two_tabs: tuple[Tab, Tab]) -> None:
    first, second = two_tabs
    second.page.get_by_role("button", name="Load theirs").click()
    second.wait_saved()
    np.testing.assert_array_equal(on_disk(first), boxed(BOX))
    assert shown(second, 30.5, 25.5) == "look here"
    assert shown(second, 70.5, 60.5) == "unmarked"
    for place in ("#image-status", "#list [aria-current] .status"):
        assert second.page.locator(place).inner_text() == "Marked"
    assert second.page.locator("#progress-shown").inner_text() == "1 of 6 done"
    # Loading wrote nothing, so the first tab goes on as before ...
    first.drag(*OTHER_BOX)
    first.wait_saved()
    first.page.keyboard.press("z")
    first.wait_saved()
    assert first.page.locator("#conflict").is_hidden()
    # ... and what was drawn in the second one comes back with undo.
    second.page.keyboard.press("z")
    second.page.wait_for_selector("#conflict[open]")
    second.page.get_by_role("button", name="Keep mine").click()
    second.wait_saved()
    np.testing.assert_array_equal(on_disk(first), boxed(OTHER_BOX))


def test_of_two_tabs_the_second_can_overwrite(two_tabs: tuple[Tab, Tab]) -> None:
    first, second = two_tabs
    second.page.get_by_role("button", name="Keep mine").click()
    second.wait_saved()
    np.testing.assert_array_equal(on_disk(first), boxed(OTHER_BOX))


def test_a_conflict_can_be_decided_later(two_tabs: tuple[Tab, Tab]) -> None:
    _, second = two_tabs
    second.page.keyboard.press("Escape")
    second.page.wait_for_selector("#conflict", state="hidden")
    second.drag((5.5, 5.5), (8.5, 8.5))
    second.page.wait_for_timeout(300)
    assert second.page.locator("#saved").inner_text() == "Not saved"
    np.testing.assert_array_equal(on_disk(second), boxed(BOX))
    second.page.locator("#next").click()
    second.page.wait_for_selector("#conflict[open]")
    second.page.get_by_role("button", name="Keep mine").click()
    second.wait("location.hash !== '#image-0'")
    np.testing.assert_array_equal(on_disk(second), boxed(OTHER_BOX, ((5.5, 5.5), (8.5, 8.5))))


def test_skipping_what_another_tab_has_marked_asks_too(tab: Tab) -> None:
    second = tab.another().open(0)
    tab.drag(*BOX)
    tab.wait_saved()
    second.page.locator("#nothing").click()
    second.page.wait_for_selector("#conflict[open]")
    second.page.get_by_role("button", name="Load theirs").click()
    second.wait_saved()
    assert second.page.evaluate("location.hash") == "#image-0"
    assert shown(second, 30.5, 25.5) == "look here"
    assert tab.served.status(0) == "marked"
    np.testing.assert_array_equal(on_disk(tab), boxed(BOX))


@pytest.mark.parametrize("key", ["k", "x"])
def test_in_a_conflict_nothing_is_said_of_an_image_before_it_is_decided(
    two_tabs: tuple[Tab, Tab], key: str
) -> None:
    _, second = two_tabs
    before = second.served.get("/api/images/0")["version"]
    second.page.keyboard.press("Escape")
    second.page.wait_for_selector("#conflict", state="hidden")
    second.page.locator("#clear").click()
    second.page.locator("#canvas").focus()
    second.page.keyboard.press(key)
    second.page.wait_for_selector("#conflict[open]")
    second.page.get_by_role("button", name="Keep mine").click()
    second.wait_saved()
    second.wait_message("written over theirs")
    assert second.served.status(0) == "open"
    assert second.served.get("/api/images/0")["version"] == before + 1
    assert second.page.evaluate("location.hash") == "#image-0"


def test_who_keeps_marks_after_a_skip_that_was_refused_does_not_skip(tab: Tab) -> None:
    second = tab.another().open(0)
    tab.drag(*BOX)
    tab.wait_saved()
    second.page.keyboard.press("k")
    second.page.wait_for_selector("#conflict[open]")
    second.page.get_by_role("button", name="Keep mine").click()
    second.wait_message("written over theirs")
    assert second.served.status(0) == "open"


def test_nothing_to_mark_and_skip_go_on(tab: Tab) -> None:
    tab.page.locator("#nothing").click()
    tab.wait("location.hash !== '#image-0'")
    tab.wait_open(None)
    assert tab.served.status(0) == "nothing"
    second = int(tab.page.evaluate("location.hash").rsplit("-", 1)[1])
    tab.page.keyboard.press("k")
    tab.wait(f"location.hash !== '#image-{second}'")
    tab.wait_open(None)
    assert tab.served.status(second) == "skipped"
    assert tab.page.locator("#progress-shown").inner_text() == "2 of 6 done"
    words = tab.page.locator("#list .status").all_inner_texts()
    assert (words[0], words[second]) == ("Nothing to mark", "Skipped")
    # Said again, it is taken back.
    tab.open(0)
    assert tab.page.locator("#nothing").get_attribute("aria-pressed") == "true"
    tab.page.keyboard.press("x")
    tab.wait_message("open again")
    assert tab.served.status(0) == "open"
    assert tab.page.locator("#progress-shown").inner_text() == "1 of 6 done"


def test_an_image_with_marks_has_something_to_mark(tab: Tab) -> None:
    tab.drag(*BOX)
    tab.page.keyboard.press("x")
    tab.wait_message("This image has marks")
    tab.wait_saved()
    assert tab.served.status(0) == "marked"
    assert tab.page.evaluate("location.hash") == "#image-0"


def test_a_begun_polygon_is_not_lost(tab: Tab) -> None:
    corners = [(20, 20), (60, 20), (60, 50)]
    tab.drag(*BOX)
    tab.page.keyboard.press("p")
    for corner in corners:
        tab.click(*corner)
    tab.wait_message("Corner 3")
    tab.page.locator("#clear").click()
    tab.wait_message("undo brings them back")
    tab.page.keyboard.press("z")
    tab.wait_message("Undone")  # the marks come back, the corners stay
    for leave in ("n", "k", "list"):
        tab.page.keyboard.press("b")
        tab.wait_message("Tool: brush. The polygon of 3 corners waits.")
        if leave == "list":
            tab.page.locator("#list button").nth(2).click()
        else:
            tab.page.keyboard.press(leave)
        tab.wait_message("The polygon of 3 corners is not finished")
        assert tab.page.locator("input[name=tool]:checked").get_attribute("value") == "polygon"
    assert tab.page.evaluate("location.hash") == "#image-0"
    assert asked_before_leaving(tab) == "beforeunload"
    tab.page.keyboard.press("c")
    tab.wait_saved()
    mask = on_disk(tab)
    assert mask[25, 25] == mask[25, 50] == 255  # box and polygon
    assert tab.served.status(0) == "marked"
    tab.page.keyboard.press("n")
    tab.wait("location.hash !== '#image-0'")
    tab.wait_open(None)


def test_next_leads_through_all_open_images(tab: Tab) -> None:
    seen = []
    for _ in range(6):
        index = int(tab.page.evaluate("location.hash").rsplit("-", 1)[1])
        seen.append(index)
        tab.drag(*BOX)
        tab.page.keyboard.press("n")
        if len(seen) < 6:
            tab.wait(f"location.hash !== '#image-{index}'")
            tab.wait_open(None)
    assert sorted(seen) == list(range(6))
    tab.wait_message("No other image is open")
    tab.wait_saved()
    assert all(np.array_equal(on_disk(tab, index), boxed(BOX)) for index in range(6))
    tab.page.go_back()
    tab.wait(f"location.hash === '#image-{seen[-2]}'")
    tab.wait_open(seen[-2])
    assert shown(tab, 30.5, 25.5) == "look here"
    tab.page.keyboard.press("Shift+N")
    tab.wait_open(seen[-3])


def test_it_starts_with_an_open_image(tab: Tab) -> None:
    tab.page.locator("#skip").click()
    tab.wait("location.hash !== '#image-0'")
    tab.wait_open(None)
    tab.page.goto("about:blank")
    tab.open(None)
    first = tab.page.evaluate("location.hash")
    assert first not in ("", "#image-0")
    tab.page.keyboard.press("Shift+N")
    tab.wait_message("no image before")
    tab.page.keyboard.press("n")
    tab.wait(f"location.hash !== '{first}'")
    tab.wait_open(None)
    tab.page.keyboard.press("Shift+N")
    tab.wait(f"location.hash === '{first}'")
    tab.wait_open(None)


def test_back_does_not_leave_the_page(browser: "Browser", tmp_path: Path) -> None:
    with opened(browser, tmp_path) as tab:
        page = tab.page
        page.goto("about:blank")
        tab.open(1)
        tab.wait_message("boat01.png, boat")
        for index in (4, 2):
            page.locator("#list button").nth(index).click()
            tab.wait_open(index)
        tab.wait_message("boat02.png, boat")
        page.keyboard.press("Shift+N")
        tab.wait_open(4)
        tab.wait_message("house01.png, house")  # said of each image, however it was opened
        page.reload()  # how far it is to the first one is known still
        tab.wait_open(4)
        page.keyboard.press("Shift+N")
        tab.wait_open(1)
        page.keyboard.press("Shift+N")
        tab.wait_message("no image before")
        page.evaluate("location.hash = '#image-5'")  # written by hand
        tab.wait_open(5)
        tab.wait("document.querySelector('#name').textContent === 'house02.png'")
        page.keyboard.press("Shift+N")
        tab.wait_open(1)
        page.keyboard.press("Shift+N")
        tab.wait_message("no image before")
        assert page.url.endswith("#image-1")


def test_the_list_is_filtered(tab: Tab) -> None:
    tab.drag(*BOX)
    tab.wait_saved()
    names = tab.page.locator("#list .name")
    assert len(names.all_inner_texts()) == 6
    tab.page.locator("#filter-status").select_option("marked")
    tab.wait("document.querySelectorAll('#list li').length === 1")
    assert names.all_inner_texts() == ["boat00.png"]
    tab.page.locator("#filter-status").select_option("")
    tab.page.locator("#filter-label").select_option("house")
    tab.wait("document.querySelectorAll('#list li').length === 3")
    assert names.all_inner_texts() == ["house00.png", "house01.png", "house02.png"]
    tab.page.locator("#list button").nth(1).click()
    tab.wait_open(4)
    tab.wait("document.querySelectorAll('#list [aria-current=true]').length === 1")
    assert tab.page.locator("#list [aria-current=true] .name").inner_text() == "house01.png"
    tab.page.locator("#filter-status").select_option("skipped")
    tab.wait("document.querySelector('#listed').textContent === 'No image is like this'")


def test_the_list_over_the_photo_is_left_with_escape_and_by_a_press_beside_it(tab: Tab) -> None:
    page = tab.page
    page.set_viewport_size({"width": 820, "height": 1000})
    button = page.locator("#show-images")
    button.click()
    page.locator("#list button").first.focus()
    page.keyboard.press("Escape")
    assert page.locator("#images").is_hidden()
    assert button.get_attribute("aria-expanded") == "false"
    assert page.evaluate("document.activeElement.id") == "show-images"
    button.click()
    tab.click(110, 45)
    assert page.locator("#images").is_hidden()
    assert tab.page.locator("#undo").get_attribute("aria-disabled") == "true"
    tab.click(110, 45)
    tab.wait_saved()
    tab.wait("document.querySelector('#undo').getAttribute('aria-disabled') === 'false'")


def test_a_class_whose_name_is_no_valid_text_is_filtered_too(browser: "Browser", tmp_path: Path) -> None:
    images = write_photos(tmp_path / "data") / "images"
    try:
        (images / "house").rename(images / os.fsdecode(b"h\xf6user"))
    except OSError:
        pytest.skip("this file system takes no such name")
    with served(tmp_path / "data") as server:
        tab = Tab(browser, server).open()
        tab.page.locator("#filter-label").select_option(index=2)
        tab.wait("document.querySelector('#listed').textContent === '1–3 of 3'")
        assert tab.page.locator("#list .name").first.inner_text() == "house00.png"
        tab.close()


def test_the_list_has_pages_and_arrow_keys(browser: "Browser", tmp_path: Path) -> None:
    with opened(browser, tmp_path, per_class=30) as tab:
        assert tab.page.locator("#list li").count() == 50
        assert tab.page.locator("#listed").inner_text() == "1–50 of 60"
        tab.page.locator("#page-after").focus()
        for _ in range(2):  # on the last page it does nothing
            tab.page.keyboard.press("Enter")
            tab.wait("document.querySelector('#listed').textContent === '51–60 of 60'")
            assert tab.page.evaluate("document.activeElement.id") == "page-after"
        assert tab.page.locator("#page-after").get_attribute("aria-disabled") == "true"
        first = tab.page.locator("#list button").first
        first.focus()
        tab.page.keyboard.press("ArrowDown")
        tab.page.keyboard.press("Enter")
        tab.wait_open(51)
        assert tab.page.locator("#name").inner_text() == "house21.png"
        tab.page.reload()
        tab.wait_open(51)
        tab.wait("document.querySelector('#listed').textContent === '51–60 of 60'")
        loaded = "[...document.querySelectorAll('#list img')].every(i => i.complete && i.naturalWidth)"
        tab.wait(loaded)


def test_a_list_that_has_shrunk_shows_its_last_page(browser: "Browser", tmp_path: Path) -> None:
    with served(write_photos(tmp_path / "data", per_class=26), model=True) as server:
        later = predict_later(server)
        tab = Tab(browser, server).open(0)
        tab.page.locator("#filter-status").select_option("open")
        tab.wait("document.querySelector('#listed').textContent === '1–50 of 52'")
        tab.page.locator("#page-after").click()
        tab.wait("document.querySelector('#listed').textContent === '51–52 of 52'")
        layer = server.project.layer
        for item in server.project.items[5:]:
            layer.put_status(item.id, "skipped", layer.version(item.id), is_marked=False)
        server.model.predictions.update(later)
        server.model.is_predicting = False  # then the list is asked for once more
        tab.wait("document.querySelector('#listed').textContent === '1–5 of 5'")
        assert tab.page.locator("#list li").count() == 5
        tab.close()


def test_marks_of_the_previous_image_are_a_start(tab: Tab) -> None:
    tab.drag(*BOX)
    tab.page.locator("#list button").nth(3).click()
    tab.wait_open(3)
    tab.page.locator("#copy").click()
    tab.wait_message("were copied")
    tab.wait_saved()
    np.testing.assert_array_equal(on_disk(tab, 3), boxed(BOX))
    tab.page.keyboard.press("z")
    tab.wait_saved()
    assert tab.served.mask(3) is None


def test_what_the_model_says_is_shown(with_model: Tab) -> None:
    with_model.open(3)
    assert "Model: boat 90 % (wrong)" in with_model.page.locator("#facts").inner_text()
    assert "says boat 90 %" in with_model.page.locator("#list button").nth(3).inner_text()


def test_photos_are_found_by_name_and_by_what_the_model_makes_of_them(with_model: Tab) -> None:
    page = with_model.page
    with_model.served.model.ways = {0: 0, 1: 1, 2: 0, 3: 0, 4: 1}
    page.reload()
    with_model.wait_open(None)
    names = page.locator("#list .name")
    page.get_by_role("searchbox", name="Name").press_sequentially("01")
    with_model.wait("document.querySelectorAll('#list li').length === 2")
    assert names.all_inner_texts() == ["boat01.png", "house01.png"]
    page.get_by_role("combobox", name="Model").select_option("Predicted wrong")
    with_model.wait("document.querySelectorAll('#list li').length === 1")
    page.get_by_role("searchbox", name="Name").fill("")
    with_model.wait("document.querySelectorAll('#list li').length === 3")
    page.get_by_role("combobox", name="Model").select_option("boat #2 (2)")
    with_model.wait("document.querySelectorAll('#list li').length === 2")
    assert names.all_inner_texts() == ["boat01.png", "house01.png"]
    with_model.served.model.ways = {}


def predict_later(server: Served) -> dict[int, Prediction]:
    """Let the model be at work still: what it will predict."""
    later = dict(server.model.predictions)
    server.model.predictions.clear()
    server.model.is_predicting = True
    return later


def test_one_photo_without_a_prediction_does_not_hide_the_others(browser: "Browser", tmp_path: Path) -> None:
    with served(write_photos(tmp_path / "data"), model=True) as server:
        later = predict_later(server)
        server.model.predictions[0] = later[0]  # of the photo that is open
        tab = Tab(browser, server).open(0)
        server.model.predictions.update({index: told for index, told in later.items() if index != 5})
        tab.page.wait_for_timeout(4000)
        assert tab.page.locator("#list .wrong").count() == 0
        server.model.is_predicting = False
        tab.wait("document.querySelectorAll('#list .wrong').length === 2")
        tab.close()


def test_predictions_that_come_later_are_shown(browser: "Browser", tmp_path: Path) -> None:
    with served(write_photos(tmp_path / "data"), model=True) as server:
        later = predict_later(server)
        tab = Tab(browser, server).open(3)
        assert "Model" not in tab.page.locator("#facts").inner_text()
        server.model.predictions.update(later)
        tab.wait("document.querySelector('#facts').textContent.includes('Model: boat 90 % (wrong)')")
        tab.wait("document.querySelectorAll('#list .wrong').length === 3")
        tab.close()


def go_on(tab: Tab) -> int:
    """The image that Next leads to."""
    before = tab.page.evaluate("location.hash")
    tab.page.keyboard.press("n")
    tab.wait(f"location.hash !== '{before}'")
    tab.wait_open(None)
    return int(tab.page.evaluate("location.hash").rsplit("-", 1)[1])


def test_next_shows_what_teaches_most_whatever_is_open(browser: "Browser", tmp_path: Path) -> None:
    with served(write_photos(tmp_path / "data"), model=True) as server:
        later = predict_later(server)
        tab = Tab(browser, server).open(0)
        server.model.predictions.update(later)  # the first three are right, and rank last
        tab.wait("document.querySelectorAll('#list .wrong').length === 3")
        assert go_on(tab) == 3
        tab.page.locator("#list button").nth(2).click()
        tab.wait_open(2)
        assert go_on(tab) == 3  # it was looked at, and nobody has passed over it
        assert [go_on(tab) for _ in range(3)] == [4, 5, 1]
        assert go_on(tab) == 3  # all the others were passed over
        tab.wait_message("come again")
        tab.close()


def test_the_map_is_laid_over_the_photo(with_model: Tab) -> None:
    def picture() -> bytes:
        return with_model.page.locator("#canvas").screenshot()

    plain = picture()
    with with_model.page.expect_response("**/api/images/0/map*", timeout=60_000):
        with_model.page.keyboard.press("m")
    with_model.page.wait_for_timeout(400)
    mapped = picture()
    assert mapped != plain
    with_model.page.locator("#map-opacity").press("Home")
    with_model.page.wait_for_timeout(200)
    assert picture() == plain
    with_model.page.keyboard.press("m")
    assert not with_model.page.locator("#map-shown").is_checked()


def test_marks_can_be_hidden_and_come_back_when_something_is_drawn(with_model: Tab) -> None:
    def picture() -> bytes:
        with_model.page.mouse.move(*with_model.at(-10, -10))
        with_model.page.wait_for_timeout(150)
        return with_model.page.locator("#canvas").screenshot()

    page = with_model.page
    plain = picture()
    with_model.choose("box")
    with_model.drag(*BOX)
    with_model.wait_saved()
    marked = picture()
    page.keyboard.press("h")
    with_model.wait_message("Marks hidden")
    assert picture() == plain != marked
    page.locator("#list button").nth(1).click()
    with_model.wait_open(1)
    page.go_back()
    with_model.wait_open(0)
    with_model.wait_message("marks hidden")
    assert picture() == plain
    with_model.drag(*OTHER_BOX)
    with_model.wait("document.querySelector('#marks-shown').checked")
    page.keyboard.press("z")
    assert picture() == marked
    page.get_by_label("Show my marks").uncheck()
    assert picture() == plain
    np.testing.assert_array_equal(on_disk(with_model), boxed(BOX))


def test_a_map_that_is_being_computed_is_asked_for_once(with_model: Tab) -> None:
    page = with_model.page
    waiting: list[Route] = []

    def hold(route: "Route") -> None:
        waiting.append(route)

    page.route("**/map?of=old", hold)
    page.keyboard.press("m")
    page.locator("#map-opacity").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    with_model.wait("document.querySelector('#map-opacity-shown').textContent === '60 %'")
    page.wait_for_timeout(200)
    assert len(waiting) == 1
    plain = page.locator("#canvas").screenshot()
    waiting[0].continue_()
    page.wait_for_timeout(400)
    assert page.locator("#canvas").screenshot() != plain


def test_regions_and_maps_that_failed_can_be_asked_for_again(with_model: Tab) -> None:
    page = with_model.page
    for pattern in ("**/superpixels?*", "**/map?of=old"):
        page.route(pattern, lambda route: route.abort(), times=1)
    with_model.choose("superpixel")
    with_model.wait_message("The regions are not to be had; press the photo")
    with_model.click(30.5, 20.5)
    with_model.wait_message("asked for once more")
    page.wait_for_selector("#canvas[data-regions=shown]")
    with_model.click(30.5, 20.5)
    with_model.wait_message("1 region filled")
    page.keyboard.press("m")
    with_model.wait_message("The map is not to be had")
    assert not page.locator("#map-shown").is_checked()
    with page.expect_response("**/map?of=old"):
        page.keyboard.press("m")
    assert page.locator("#map-shown").is_checked()
    assert all("ERR_FAILED" in error for error in with_model.errors)
    with_model.errors.clear()


def test_the_highest_part_of_the_map_is_a_start(with_model: Tab) -> None:
    with with_model.page.expect_response(re.compile(r"region\?share=0\.16$")):
        with_model.page.locator("#share").press("ArrowRight")
    with_model.choose("negative")
    with_model.page.get_by_role("button", name="Mark the highest 16 %").click()
    with_model.wait_message("was marked")
    with_model.wait_saved()
    expected = unmarked()
    expected[: HEIGHT // 2, : WIDTH // 2] = 0
    np.testing.assert_array_equal(on_disk(with_model), expected)


def test_the_brush_fits_each_photo_until_its_size_is_chosen(browser: "Browser", tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 1)
    draw_photo(1, 600, 400).save(data / "images/house/house00.png")
    with served(data) as server:
        tab = Tab(browser, server).open(0)
        sizes = [tab.page.locator("#size-shown").inner_text()]
        for _ in range(2):
            tab.page.keyboard.press("n")
            tab.wait_open(1)
            sizes.append(tab.page.locator("#size-shown").inner_text())
            tab.page.keyboard.press("]")
            tab.page.keyboard.press("Shift+N")
            tab.wait_open(0)
            sizes.append(tab.page.locator("#size-shown").inner_text())
        assert sizes == ["7 px", "34 px", "44 px", "44 px", "58 px"]
        tab.close()


def test_the_highest_part_is_shown_where_a_press_gives_no_focus(with_model: Tab) -> None:
    page = with_model.page
    page.evaluate("document.activeElement.blur()")
    plain = page.locator("#canvas").screenshot()
    with page.expect_response("**/region*"):  # as Safari has it
        page.evaluate("document.querySelector('#share').dispatchEvent(new Event('input'))")
    page.wait_for_timeout(300)
    assert page.locator("#canvas").screenshot() != plain


def test_without_a_model_nothing_of_it_is_shown(tab: Tab) -> None:
    assert tab.page.locator("#model").is_hidden()
    tab.page.keyboard.press("m")
    tab.wait_message("--run")


def test_a_photo_that_is_gone_is_said_and_the_others_work(browser: "Browser", tmp_path: Path) -> None:
    with opened(browser, tmp_path) as tab:
        path = tab.served.project.items[1].path
        path.unlink()
        tab.page.locator("#list button").nth(1).click()
        tab.wait_message("could not be opened")
        assert tab.page.title() == "Image 2 could not be opened · lookright annotate"
        assert tab.page.evaluate("location.hash") == "#image-1"  # a reload asks for it again
        assert tab.page.locator("#saved").inner_text() == ""
        draw_photo(1).save(path)
        tab.page.get_by_role("button", name="Try again").click()
        tab.wait_open(1)
        assert tab.page.get_by_role("button", name="Try again").is_hidden()
        assert tab.page.title().startswith(path.name)
        path.unlink()
        tab.page.locator("#list button").nth(2).click()
        tab.wait_open(2)
        tab.choose("box")
        tab.drag(*BOX)
        tab.wait_saved()
        np.testing.assert_array_equal(on_disk(tab, 2), boxed(BOX))
        assert all("404" in error for error in tab.errors)
        tab.errors.clear()


@pytest.mark.parametrize("damaged", ["gone", "cut short"])
def test_photos_that_cannot_be_opened_are_passed_over_or_skipped(
    browser: "Browser", tmp_path: Path, damaged: str
) -> None:
    with opened(browser, tmp_path) as tab:
        items = tab.served.project.items
        order = [index for index in teaching_order(items, {}, 2) if index != 0]
        for index in order[:2]:
            path = items[index].path
            path.unlink() if damaged == "gone" else path.write_bytes(path.read_bytes()[:200])
        tab.page.keyboard.press("n")
        tab.wait_message("could not be opened")
        assert tab.page.locator("#facts").inner_text() == ""
        tab.page.keyboard.press("x")
        tab.wait_message("skip it, or go on")
        tab.page.keyboard.press("k")
        tab.wait("document.querySelector('#progress-shown').textContent === '1 of 6 done'")
        tab.wait_message("could not be opened:")  # the second one
        assert tab.served.project.layer.status(items[order[0]].id) == "skipped"
        tab.page.keyboard.press("n")
        tab.wait_open(order[2])
        assert all("404" in error for error in tab.errors)
        tab.errors.clear()
