"""The README's pictures of a stranger's first five minutes, from ``make run`` to Python.

``make pictures`` takes all of them. It serves the demo itself, as ``make run`` does and on the same
ports, but with its state in a scratch folder, so that yours stays as it is. It needs Chromium on
the PATH, and what the tests need.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from infra.process import serving
from infra.simulations.page import main as write_report

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

# Of one shape: the README has them side by side.
_SMALL, _LARGE = ViewportSize(width=960, height=600), ViewportSize(width=1200, height=750)
_REPORT = ViewportSize(width=1160, height=1320)

_ROOT = Path(__file__).parents[1]
_FOLDER = _ROOT / "docs" / "pictures"
_DEMO = Path(".segue/demo")
_URL = "http://127.0.0.1:8000"
_LISTENER = "429"
_GENRES = ["late-bus soul", "attic rock", "velvet soul"]
_TERMINAL = """<!doctype html><meta charset="utf-8">
<body style="margin: 0; background: #16161e; color: #d5d6db">
<style>b {{ color: #9ece6a }}</style>
<pre style="margin: 24px 28px; font: 14px/1.75 monospace; white-space: pre-wrap">{}</pre>"""


def main() -> None:
    """Take every picture of ``docs/pictures`` that is of the service."""
    with TemporaryDirectory() as scratch, browsing() as browser:
        folder = Path(scratch)
        with _serving(folder) as printed:
            _picture_terminal(browser, "run.png", f"$ make run\n{printed}")
            _picture_search(browser)
            _picture_skip(browser)
            _picture_listener(browser)
            _picture_api(browser)
            _picture_terminal(browser, "python.png", _python_session(folder))
        _picture_report(browser, folder / "report.html")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A Chromium that shows nothing, and asks for nothing that it is not told to."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """The demo, served with its state in the folder; what was printed until it was ready."""
    (folder / _DEMO).mkdir(parents=True)
    for name in ("data", "bundle"):
        (folder / _DEMO / name).symlink_to(_ROOT / _DEMO / name)
    # The same relative paths as in the Makefile, because the service prints them.
    options = f"--data {_DEMO}/data --bundle {_DEMO}/bundle --state {_DEMO}/stack"
    with serving("serve", *options.split(), folder=folder) as (_, printed):
        yield printed


def _python_session(folder: Path) -> str:
    """The README's example in Python as it is run at a terminal, and what it prints."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    script = folder / "recommend.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, script.name]
    printed = subprocess.check_output(command, cwd=folder, text=True)  # noqa: S603  # our own
    return f"$ cat {script.name}\n{code}\n$ .venv/bin/python {script.name}\n{printed}"


def _picture_terminal(browser: Browser, name: str, text: str) -> None:
    """What a terminal shows, the commands in colour."""
    marked = re.sub(r"^\$ .*", r"<b>\g<0></b>", escape(text), flags=re.MULTILINE)
    page = browser.new_page(viewport=_SMALL)
    page.set_content(_TERMINAL.format(marked))
    page.screenshot(path=_FOLDER / name)


def _picture_search(browser: Browser) -> None:
    page = _desk(browser, _SMALL)
    page.goto(_URL)
    page.get_by_role("combobox", name="Find a listener").fill("42")
    page.get_by_role("option", name=re.compile("^420 ")).wait_for()
    page.keyboard.press("ArrowDown")
    page.screenshot(path=_FOLDER / "search.png")


def _picture_skip(browser: Browser) -> None:
    """The lists of a new listener after a play and a skip; what was heard is left out of them."""
    page = _desk(browser, _LARGE)
    page.request.put(f"{_URL}/users/newcomer", data={"favourite_genres": _GENRES})
    _open(page, "newcomer&novelty=new")
    for key, done in (("p", "Played"), ("s", "Skipped")):
        page.locator("#lists .list").last.locator(".title").first.press(key)
        page.get_by_role("status").get_by_text(done).wait_for()
    page.locator("#lists-title").evaluate("it => scrollTo(0, it.offsetTop - 16)")
    page.screenshot(path=_FOLDER / "skip.png")


def _picture_listener(browser: Browser) -> None:
    """A listener's page after a filter was set, a track, and the page on a phone by night."""
    desk = _desk(browser, DESK)
    _open(desk, _LISTENER)
    desk.get_by_label("Only tracks with").fill("year >= 1990 and not explicit")
    desk.keyboard.press("Enter")
    desk.get_by_role("status").get_by_text("Hybrid").wait_for()
    desk.locator("#status:empty").wait_for(state="attached")
    desk.screenshot(path=_FOLDER / "explorer.png")
    desk.locator("#lists .list").last.locator(".title").first.click()
    desk.get_by_role("heading", name="Its neighbours").wait_for()
    desk.screenshot(path=_FOLDER / "explorer-track.png")
    phone = browser.new_page(viewport=PHONE, color_scheme="dark", has_touch=True)
    _open(phone, _LISTENER)
    phone.screenshot(path=_FOLDER / "explorer-phone.png")


def _picture_api(browser: Browser) -> None:
    page = _desk(browser, _SMALL)
    page.goto(f"{_URL}/docs#/models/predict")
    page.get_by_role("button", name="Execute").wait_for()
    page.get_by_placeholder("model_id").fill("3")
    page.locator("#operations-tag-models").evaluate("it => it.scrollIntoView()")
    page.screenshot(path=_FOLDER / "api.png")


def _picture_report(browser: Browser, file: Path) -> None:
    """The report on a test of made-up listeners: what one sees first, and more of it."""
    write_report(file)
    for name, viewport in {"verdict.png": _SMALL, "report.png": _REPORT}.items():
        page = _desk(browser, viewport)
        page.goto(file.as_uri())
        page.screenshot(path=_FOLDER / name)


def _desk(browser: Browser, viewport: ViewportSize) -> Page:
    return browser.new_page(viewport=viewport, color_scheme="light", reduced_motion="reduce")


def _open(page: Page, listener: str) -> None:
    """The listener's page, with all that it asks for answered."""
    page.goto(f"{_URL}/#listener={listener}", wait_until="networkidle")
    expect(page.locator("#lists")).to_have_attribute("aria-busy", "false")


if __name__ == "__main__":
    main()
