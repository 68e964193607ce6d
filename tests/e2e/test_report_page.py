"""The report's page in a browser: on a desk and on a phone, by day and by night."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from infra.pictures import CHROMIUM, browsing
from segue.adapters.archive import S3Archive
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.objects import Objects
from segue.domain.times import DAY, SECOND
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Figure, Guardrail
from segue.experiments.records import Exposure, Record
from segue.services.compaction import Compactor
from tests.e2e.conftest import Service, client

DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
CUTOFF = 1_662_000_000_000
EXPERIMENT = Experiment(
    "page",
    (Arm("control", 1, 0.5), Arm("hybrid", 3, 0.5)),
    guardrails=(Guardrail(Figure.LATENCY, 20.0),),
)
EPOCH = Epoch(EXPERIMENT, "bundle")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")

# WCAG 2's contrast of every element's own text with what lies behind it.
CONTRASTS = """() => {
  const luminance = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((it) => it / 255)
    .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    .reduce((sum, it, place) => sum + it * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (it) => {
    const css = getComputedStyle(it).backgroundColor;
    return css === 'rgba(0, 0, 0, 0)' ? behind(it.parentElement) : css;
  };
  const written = (it) => [...it.childNodes].some((node) => node.nodeType === Node.TEXT_NODE);
  return [...document.body.querySelectorAll('*')].filter(written).map((it) => {
    const style = getComputedStyle(it);
    const ink = luminance(it instanceof SVGElement ? style.fill : style.color);
    const page = luminance(behind(it));
    return [it.textContent, (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05)];
  });
}"""
# What sticks out of its part of the page, but for tables, which scroll.
OUTSIDE = """() => [...document.querySelectorAll('svg text, h1, h2, p, dd, svg')].filter((it) => {
  const [mine, place] = [it, it.closest('section, header, footer')]
    .map((each) => each.getBoundingClientRect());
  return mine.left < place.left || mine.right > place.right;
}).map((it) => it.textContent)"""


@dataclass
class View:
    """The page as it was opened, and what came of it."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def record(user: int, chance: random.Random) -> Record:
    arm = assign(EPOCH, str(user))
    exposure = Exposure(
        str(user),
        arm.group,
        f"model {arm.model_id}",
        "bundle",
        ("t",),
        CUTOFF,
        CUTOFF,
        before=chance.random(),
        traits={"premium": chance.choice(["yes", "no"])},
        figures={Figure.LATENCY: chance.gauss(25, 4)},
    )
    successful = chance.random() < (0.7 if arm.group == "hybrid" else 0.3)
    figures = {
        Figure.ADDED_SUCCESS: float(successful and chance.random() < 0.7),
        Figure.FULL_PLAYS: float(chance.randrange(40)),
        Figure.LISTENING_TIME: chance.expovariate(1 / 90),
        Figure.SKIP_RATE: chance.betavariate(3, 7),
    }
    return Record(
        exposure,
        successful,
        CUTOFF + 30 * DAY + user * 60 * SECOND,
        figures=figures,
        positions=(1 + user % 12,) if successful else (),
    )


@pytest.fixture(scope="module")
def address(served: Service) -> str:
    """Of the report on an experiment of 240 users whose arms differ."""
    settings = served.settings
    objects, chance = Objects(client(served, "s3"), settings["BUCKET"]), random.Random(7)
    S3ExperimentStore(objects).save(EPOCH, None)
    results = DynamoResultStore(client(served, "dynamodb"), settings["EXPOSURES_TABLE"])
    records = [record(user, chance) for user in range(240)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda it: results.add(EPOCH.id, it), records))
    Compactor(results, S3Archive(objects)).compact(EPOCH.id)
    return f"{served.url}/ab_test/report?experiment={EXPERIMENT.name}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as launched:
        yield launched


@pytest.fixture(
    scope="module",
    params=[(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")],
    ids=["desk by day", "desk by night", "phone by day", "phone by night"],
)
def view(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[View]:
    viewport, scheme = request.param
    with browser.new_context(viewport=viewport, color_scheme=scheme) as context:
        view = View(context.new_page(), address)
        view.page.on("request", lambda it: view.requests.append(it.url))
        view.page.on("console", lambda it: view.complaints.append(it.text))
        view.page.on("pageerror", lambda it: view.complaints.append(str(it)))
        answer = view.page.goto(address)
        assert answer
        assert answer.status == 200
        yield view


def test_the_verdict_is_what_one_sees_first(view: View) -> None:
    verdict = view.page.locator("h1")
    assert verdict.inner_text() == "Hybrid is better"
    box, section = verdict.bounding_box(), view.page.locator("section").first.bounding_box()
    assert box
    assert section
    assert box["y"] + box["height"] < min(section["y"], 200)
    sizes = "() => [...document.querySelectorAll('body *')].map(it => [it.tagName, %s])"
    found = view.page.evaluate(sizes % "parseFloat(getComputedStyle(it).fontSize)")
    assert max(found, key=lambda it: it[1])[0] == "H1"


def test_nothing_sticks_out(view: View) -> None:
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scrolled, width = view.page.evaluate(widths)
    assert scrolled == width
    assert view.page.evaluate(OUTSIDE) == []


def test_every_text_stands_out_from_what_is_behind_it(view: View) -> None:
    contrasts = view.page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [it for it in contrasts if it[1] < 4.5] == []


def test_figures_and_tables_are_there_to_be_seen(view: View) -> None:
    headings = view.page.locator("section h2").all_inner_texts()
    for heading in ("Success rates", "Guardrails", "Shares of users"):
        assert heading in headings
    charts = view.page.locator("section svg").all()
    assert len(charts) >= 5
    for chart in charts:
        box = chart.bounding_box()
        assert box
        assert box["width"] > 300
        assert chart.locator("path, circle").count()
        assert chart.get_attribute("aria-label")


def test_no_table_but_is_readable_without_scrolling_aside(view: View) -> None:
    hidden = """() => [...document.querySelectorAll('.scroll')]
      .filter((each) => each.scrollWidth > each.clientWidth)
      .map((each) => each.getAttribute('aria-label'))"""
    assert view.page.evaluate(hidden) == []


def test_it_asks_for_nothing_more_and_complains_of_nothing(view: View) -> None:
    assert view.requests == [view.address]
    assert view.complaints == []


def test_another_experiment_is_chosen_by_keyboard(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        page.goto(address)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        choices = page.locator("nav li", has_text=EXPERIMENT.name).get_by_role("link")
        assert choices.first.inner_text().startswith("240 users, 2022-10-01")
        assert choices.first.get_attribute("aria-current") == "page"
        choices.last.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url.endswith(f"?experiment={EXPERIMENT.name}&live=true"))
        assert page.locator("h1").inner_text() == "No decision yet"


def test_from_an_unknown_experiment_one_gets_on(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        answer = page.goto(address.replace(EXPERIMENT.name, "sprung"))
        assert answer
        assert answer.status == 404
        assert page.locator("h1").inner_text() == "There is no experiment 'sprung'"
        page.get_by_role("link", name="240 users").click()
        assert page.locator("h1").inner_text() == "Hybrid is better"


def test_its_links_lead_to_the_figures(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        for name, start in (("JSON", '{"verdicts":'), ("CSV", "created_at,user_id,")):
            link = page.get_by_role("link", name=name).evaluate("(each) => each.href")
            assert context.request.get(link).text().startswith(start)


def test_it_follows_the_colours_that_one_prefers(browser: Browser, address: str) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(address)
            paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper["light"] != paper["dark"]
