"""The README's pictures of the explorer, taken of a running service, which they leave as it is.

``make pictures`` takes them of what ``make run`` serves, ``python -m infra.pictures URL`` of any
other service: a listener's page after a filter was set, a track, and the listener's page on a phone
by night. It needs Chromium on the PATH, and what the tests need.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK, PHONE = ViewportSize(width=1280, height=1000), ViewportSize(width=390, height=844)

_LISTENER = "429"
_FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


@contextmanager
def browsing() -> Iterator[Browser]:
    """A Chromium that shows nothing, and asks for nothing that it is not told to."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def take_pictures(url: str, folder: Path) -> None:
    """Save ``explorer.png``, ``explorer-track.png`` and ``explorer-phone.png`` in the folder."""
    with browsing() as browser:
        desk = browser.new_page(viewport=DESK, color_scheme="light", reduced_motion="reduce")
        _open(desk, url)
        desk.get_by_label("Only tracks with").fill("year >= 1990 and not explicit")
        desk.keyboard.press("Enter")
        desk.get_by_role("status").get_by_text("Hybrid").wait_for()
        desk.locator("#status:empty").wait_for(state="attached")
        desk.screenshot(path=folder / "explorer.png")
        desk.locator("#lists .list").last.locator(".title").first.click()
        desk.get_by_role("heading", name="Its neighbours").wait_for()
        desk.screenshot(path=folder / "explorer-track.png")
        phone = browser.new_page(viewport=PHONE, color_scheme="dark", has_touch=True)
        _open(phone, url)
        phone.screenshot(path=folder / "explorer-phone.png")


def _open(page: Page, url: str) -> None:
    """The listener's page, with all that it asks for answered."""
    page.goto(f"{url.rstrip('/')}/#listener={_LISTENER}")
    expect(page.locator("#lists")).to_have_attribute("aria-busy", "false")
    page.locator("#session li").first.wait_for()


if __name__ == "__main__":
    take_pictures(sys.argv[1], _FOLDER)
