"""What every page that is a file has to do in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def opened_quietly(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page, which opened without a complaint, a request or a broken picture."""
    page = browser.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    yield page
    page.close()


def check_without_scripts(browser: "Browser", address: str, cards: str, number: int) -> None:
    """All cards are there, and no control that would do nothing."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    assert page.locator(f"{cards}:visible").count() == number
    assert page.locator(".controls").is_hidden()
    page.close()
