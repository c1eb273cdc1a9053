"""A server that is killed in the middle of somebody's work."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from annotate_process import get, served
from PIL import Image
from served_page import ANNOTATOR, Pixels, Tab, held_port, unmarked, write_photos

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def boxes(count: int) -> Pixels:
    """Those that are on the photo after so many strokes."""
    marks = unmarked()
    for number in range(count):
        marks[20 : 31 + number, 10 * number : 10 * number + 6] = 255
    return marks


def draw(tab: Tab, number: int) -> None:
    tab.drag((10 * number + 0.5, 20.5), (10 * number + 5.5, 30.5 + number))


def test_what_was_saved_is_there_after_a_kill_and_the_tab_has_the_rest(
    browser: "Browser", tmp_path: Path
) -> None:
    data = write_photos(tmp_path / "data", per_class=1)
    mask = data / f"annotators/{ANNOTATOR}/signed/boat/boat00.png"

    def on_disk() -> Pixels:
        return np.asarray(Image.open(mask))

    with held_port() as port:
        with served(str(data), "--annotator", ANNOTATOR, port=port) as (url, process, _):
            server = SimpleNamespace(url=url.rstrip("/"))
            tab = Tab(browser, server).open()  # type: ignore[arg-type]  # of a server, a tab needs the address
            tab.choose("box")
            for number in range(4):
                draw(tab, number)
                tab.wait_saved()
            draw(tab, 4)
            process.send_signal(signal.SIGKILL)
            process.wait()
        kept = on_disk()
        assert any(
            np.array_equal(kept, boxes(count)) for count in (4, 5)
        )  # the last one wholly or not at all
        draw(tab, 5)
        tab.wait_message("Not saved")
        with served(str(data), "--annotator", ANNOTATOR, port=port):
            get(url)
            draw(tab, 6)
            tab.wait_saved()
            np.testing.assert_array_equal(on_disk(), boxes(7))
            tab.page.reload()
            tab.wait_open(0)
            assert tab.page.locator("#image-status").inner_text() == "Marked"
            tab.choose("box")
            draw(tab, 7)
            tab.wait_saved()
            np.testing.assert_array_equal(on_disk(), boxes(8))
            tab.errors.clear()  # the browser reports what failed meanwhile
            tab.close()
