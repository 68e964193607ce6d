"""The explorer in a browser: a stranger's first five minutes, by mouse, by keyboard, on a phone."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from infra.pictures import CHROMIUM, DESK, PHONE, browsing
from infra.process import free_port, serving
from tests.e2e.conftest import ROOT, Service, perform

AXE = ROOT / "tests" / "e2e" / "node_modules" / "axe-core" / "axe.min.js"
MODELS = ("Popularity", "Autoencoder", "Classifier", "Hybrid")
LISTENER = "Listener 102"
# What may be loaded until a listener's lists are there, in bytes.
LIGHT = 150_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


@dataclass
class Visit:
    """A page of the explorer, and what came of it."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, hash_part: str = "") -> None:
        self.page.goto(self.address + hash_part)
        self.page.get_by_text("Recommendations as of").wait_for()

    def open_listener(self, user: str = "102") -> None:
        self.open(f"#listener={user}")
        self.wait_for_lists()

    def wait_for_lists(self) -> None:
        expect(self.page.locator("#lists")).to_have_attribute("aria-busy", "false")
        expect(self.page.locator("#lists .list")).to_have_count(len(MODELS))

    @contextmanager
    def new_lists(self, asked_for: str) -> Iterator[None]:
        """Until the lists are there that what is done within asks for."""
        with self.page.expect_response(lambda it: asked_for in (it.request.post_data or "")):
            yield
        self.wait_for_lists()

    def titles(self, model: str) -> list[str]:
        return self.list(model).locator(".title").all_inner_texts()

    def list(self, model: str) -> Locator:
        return self.page.get_by_role("region", name=model, exact=True)

    @property
    def said(self) -> Locator:
        return self.page.get_by_role("status")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as launched:
        yield launched


@pytest.fixture(scope="module")
def address(served: Service, pytestconfig: pytest.Config) -> Iterator[str]:
    """Where a person opens it: the deployed stack's, as on AWS, through ``segue open``."""
    if pytestconfig.getoption("--service") == "local":
        yield f"{served.url}/"
    else:
        with opened(served.url) as address:
            yield address


@contextmanager
def opened(url: str) -> Iterator[str]:
    """The address at which ``segue open`` shows it."""
    port = free_port()
    options = ["--url", url, "--port", str(port), "--no-browser"]
    with serving("open", *options):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def visiting(
    browser: Browser, address: str, viewport: ViewportSize = DESK, scheme: str = "light"
) -> Iterator[Visit]:
    """A visit in which nothing was asked of anybody else, and the browser had no complaint."""
    phone = viewport is PHONE
    with browser.new_context(
        viewport=viewport,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=phone,
        is_mobile=phone,
    ) as context:
        visit = Visit(context.new_page(), address)
        visit.page.on("request", lambda it: visit.requests.append(it.url))
        visit.page.on("console", lambda it: visit.complaints.append(it.text))
        visit.page.on("pageerror", lambda it: visit.complaints.append(str(it)))
        yield visit
        assert [it for it in visit.requests if not it.startswith(address)] == []
        assert visit.complaints == []


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        yield visit


def test_a_listener_is_found_and_every_model_answers_with_names_and_reasons(visit: Visit) -> None:
    visit.open()
    find = visit.page.get_by_role("combobox", name="Find a listener")
    find.fill("102")
    visit.page.get_by_role("option", name=re.compile("^102 ")).click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text(LISTENER)
    visit.wait_for_lists()
    for model in MODELS:
        rows = visit.list(model).get_by_role("listitem")
        assert rows.count() == 10
        for row in rows.all():
            title = row.locator(".title")
            assert title.inner_text() != title.get_attribute("data-track")
            assert row.locator(".artist").inner_text()
        assert visit.list(model).locator(".reason").count() >= 5
        expect(visit.list(model).locator(".took")).to_have_text(re.compile(r"^\d+ ms$"))


def test_what_was_heard_is_there_session_by_session(visit: Visit) -> None:
    visit.open_listener()
    sessions = visit.page.get_by_role("toolbar", name="Sessions").get_by_role("button")
    session = visit.page.locator("#session")
    latest = sessions.last
    expect(latest).to_have_attribute("aria-pressed", "true")
    expect(session.get_by_role("listitem").first).to_be_visible()
    assert f"{session.get_by_role('heading').inner_text()}: " in str(
        latest.get_attribute("aria-label")
    )
    latest.focus()
    visit.page.keyboard.press("ArrowLeft")
    before = sessions.nth(sessions.count() - 2)
    expect(before).to_be_focused()
    expect(before).to_have_attribute("aria-pressed", "true")


def test_the_same_track_stands_out_in_every_list_that_has_it(visit: Visit) -> None:
    visit.open_listener()
    listed = [title for model in MODELS for title in visit.titles(model)]
    shared = next(title for title in visit.titles("Hybrid") if listed.count(title) > 1)
    visit.list("Hybrid").get_by_role("link", name=shared, exact=True).focus()
    assert visit.page.locator("li.same .title").all_inner_texts() == [shared] * listed.count(shared)
    row = visit.list("Hybrid").get_by_role("listitem").filter(has_text=shared)
    expect(row.get_by_label(f"In {listed.count(shared)} of 4 lists")).to_be_visible()


def test_a_skip_is_answered_by_the_lists_at_once(visit: Visit) -> None:
    # Of a listener of whom little is known, one skip says much.
    visit.page.request.put(f"{visit.address}users/skipper", data={"favourite_genres": []})
    visit.open_listener("skipper")
    before, title = {model: visit.titles(model) for model in MODELS}, visit.titles("Hybrid")[0]
    row = visit.list("Hybrid").get_by_role("listitem").first
    row.hover()
    row.get_by_role("button", name=f"Skip {title}").click()
    expect(visit.said).to_contain_text(f"Skipped {title}. ")
    after = {model: visit.titles(model) for model in MODELS}
    assert after != before
    changed = next(model for model in MODELS if after[model] != before[model])
    assert visit.list(changed).locator(".move").count()
    expect(visit.page.locator("#session .skipped a")).to_have_text(title)


def test_a_track_says_how_it_sounds_why_it_is_listed_and_what_is_like_it(visit: Visit) -> None:
    visit.open_listener()
    title = visit.titles("Autoencoder")[0]
    visit.list("Autoencoder").get_by_role("link", name=title, exact=True).click()
    dialog = visit.page.get_by_role("dialog", name=title)
    expect(dialog.get_by_role("img", name=re.compile("danceability 0"))).to_be_visible()
    expect(dialog.locator(".standings")).to_contain_text("Autoencoder, place 1")
    neighbours = dialog.locator(".neighbours li")
    assert neighbours.count() == 12
    assert neighbours.locator(".reason").first.inner_text()
    name = neighbours.first.get_by_role("link").inner_text()
    neighbours.first.get_by_role("link").click()
    expect(visit.page.get_by_role("dialog", name=name)).to_be_visible()
    visit.page.go_back()
    expect(dialog).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(visit.page).not_to_have_url(re.compile("track="))


def test_a_new_listener_starts_cold_warms_up_and_is_erased(visit: Visit) -> None:
    visit.open()
    visit.page.get_by_role("link", name="New listener").first.click()
    dialog = visit.page.get_by_role("dialog", name="New listener")
    expect(dialog.get_by_role("button", name="Recommend to them")).to_be_disabled()
    genre = dialog.locator(".chip").first
    genre.click()
    expect(genre).to_have_attribute("aria-pressed", "true")
    dialog.get_by_role("button", name="Recommend to them").click()
    visit.wait_for_lists()
    heading = visit.page.get_by_role("heading", level=1)
    expect(heading).to_have_text(re.compile("^Listener explorer-"))
    expect(visit.page.locator(".cold")).to_have_count(len(MODELS))
    visit.list("Hybrid").locator(".title").first.press("l")
    expect(visit.said).to_contain_text("Liked")
    expect(visit.page.locator(".cold")).to_have_count(0)
    visit.page.get_by_role("button", name="Erase this listener").click()
    expect(visit.said).to_contain_text("is erased")
    expect(visit.page.get_by_role("heading", name="What should they hear next?")).to_be_visible()


def test_a_new_listener_may_have_played_tracks(visit: Visit) -> None:
    visit.open("#make=")
    dialog = visit.page.get_by_role("dialog", name="New listener")
    dialog.get_by_role("combobox", name="Find a track").focus()
    option = dialog.get_by_role("option").first
    title = option.locator("b").inner_text()
    option.click()
    dialog.get_by_role("button", name="Recommend to them").click()
    visit.wait_for_lists()
    expect(visit.page.locator("#session li a")).to_have_text([title])
    visit.page.get_by_role("button", name="Erase this listener").click()
    expect(visit.said).to_contain_text("is erased")


def test_a_fault_in_the_filter_is_marked_where_it_is(visit: Visit) -> None:
    visit.open_listener()
    expression = visit.page.get_by_role("textbox", name="Only tracks with")
    expression.fill("year >= 1990 and genre = 'x'")
    expression.press("Enter")
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_be_visible()
    expect(expression).to_have_attribute("aria-invalid", "true")
    expect(visit.page.locator("#filter-fault mark")).to_be_visible()
    # Of the answers themselves, which the browser notes.
    assert all("422" in it for it in visit.complaints)
    visit.complaints.clear()
    expression.fill("year >= 1990")
    expression.press("Enter")
    visit.wait_for_lists()
    expect(visit.page.locator("#filter-fault")).to_be_hidden()


def test_what_is_asked_for_stands_in_the_address_to_be_shared_and_gone_back_from(
    browser: Browser, visit: Visit, address: str
) -> None:
    visit.open_listener()
    plain = visit.titles("Popularity")
    visit.page.get_by_label("Tracks", exact=True).fill("5")
    visit.page.get_by_label("Tracks", exact=True).press("Enter")
    visit.page.get_by_label("Heard before").select_option("left out")
    visit.page.get_by_role("button", name="Add a boost").click()
    visit.page.get_by_label("Boost tracks with").fill("year >= 2000")
    with visit.new_lists(asked_for='"boosts"'):
        visit.page.get_by_label("Boost tracks with").press("Enter")
    shown = visit.titles("Popularity")
    assert len(shown) == 5
    assert shown != plain[:5]
    with visiting(browser, address) as other:
        other.page.goto(visit.page.url)
        other.wait_for_lists()
        assert other.titles("Popularity") == shown
        expect(other.page.get_by_label("Boost tracks with")).to_have_value("year >= 2000")
    for _ in range(3):
        visit.page.go_back()
    expect(visit.list("Popularity").locator(".title")).to_have_text(plain)


@pytest.mark.parametrize("link", ["A/B report", "API"])
def test_the_report_and_the_api_document_are_one_click_away(
    served: Service, visit: Visit, link: str
) -> None:
    # Before the first test there is no experiment to report on.
    perform(served, 102)
    visit.open()
    with visit.page.expect_navigation() as navigation:
        visit.page.get_by_role("link", name=link, exact=True).click()
    assert navigation.value
    assert navigation.value.status == 200
    expect(visit.page.get_by_role("heading", level=1).first).to_be_visible()


def test_all_of_it_works_by_keyboard(visit: Visit) -> None:
    visit.open()
    keyboard, page = visit.page.keyboard, visit.page
    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    for _ in range(2):
        keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Find a listener")).to_be_focused()
    keyboard.type("102")
    expect(page.get_by_role("option")).not_to_have_count(0)
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    visit.wait_for_lists()
    titles = visit.list("Popularity").locator(".title")
    for _ in range(30):
        if titles.first.evaluate("it => it === document.activeElement"):
            break
        keyboard.press("Tab")
    expect(titles.first).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    expect(visit.list("Autoencoder").locator(".title").nth(1)).to_be_focused()
    keyboard.press("p")
    expect(visit.said).to_contain_text("Played")
    expect(visit.list("Autoencoder").locator(".title").nth(1)).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_first_view_is_light(visit: Visit) -> None:
    sizes: list[int] = []
    visit.page.on("requestfinished", lambda it: sizes.append(it.sizes()["responseBodySize"]))
    visit.open_listener()
    visit.page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < LIGHT


def welcome(visit: Visit) -> None:
    visit.open()
    visit.page.get_by_role("link", name=LISTENER).wait_for()


def listener(visit: Visit) -> None:
    visit.open_listener()
    visit.list("Hybrid").locator(".title").first.press("s")
    visit.said.get_by_text("Skipped").wait_for()


def track(visit: Visit) -> None:
    visit.open_listener()
    visit.list("Hybrid").locator(".title").first.click()
    visit.page.get_by_role("heading", name="Its neighbours").wait_for()


def newcomer(visit: Visit) -> None:
    visit.open("#make=")
    visit.page.locator(".chip").first.click()


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")],
    ids=["desk by day", "desk by night", "phone by day", "phone by night"],
)
@pytest.mark.parametrize("view", [welcome, listener, track, newcomer])
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: run `make e2e`")
def test_every_view_is_for_everybody_and_fits_its_window(
    browser: Browser,
    address: str,
    view: Callable[[Visit], None],
    viewport: ViewportSize,
    scheme: str,
) -> None:
    with visiting(browser, address, viewport, scheme) as visit:
        view(visit)
        widths = "[document.documentElement.scrollWidth, window.innerWidth]"
        assert visit.page.evaluate(widths) == [viewport["width"]] * 2
        visit.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = visit.page.evaluate("axe.run()")
    faults = {it["id"]: [node["html"] for node in it["nodes"]] for it in found["violations"]}
    assert faults == {}, json.dumps(faults, indent=1)
    assert len(found["passes"]) > 10
