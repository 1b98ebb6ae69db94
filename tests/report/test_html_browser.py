"""The claim-status report as a reader's browser has it: headless Chromium, opened from a file, with no network."""

import html
import json
import re
import shutil
from dataclasses import replace
from datetime import datetime

import pytest

from mechtests.report.comparison import comparison_html
from mechtests.report.html import card_html, write_html
from mechtests.report.text import LABELS, SYMBOLS, word_of
from mechtests.results.comparison import compare
from mechtests.results.ledger import PastRun, Timeline
from mechtests.results.side import side_of
from tests import documents
from tests.documents import HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
QUIET += ("--disable-background-networking", "--disable-component-update")

SAMPLED = "#toy/habits/often@light-seed00"
SUPPORTED = "#toy/weights/positive@light-seed00"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    made = {
        "small": [documents.of_every_verdict()],
        "hostile": [documents.hostile()],
        "two-systems": [documents.document(24, 5, systems=2)],
    }
    for name, some in made.items():
        write_html(folder / f"{name}.html", json.loads(json.dumps(some)))
    write_html(folder / "history.html", json.loads(json.dumps(made["small"])), history())
    (folder / "comparison.html").write_text(comparison_html(changes()))
    return folder


def history():
    """A history in which a finding changed its verdict, judged on one checkpoint and on several."""
    runs = [
        PastRun(f"{number:032}", datetime(2025, 3, 1 + number), "c0ffee", ("light-seed00",), {}) for number in range(4)
    ]
    counts = [{"refuted": 1}, {"supported": 1}, {"supported": 2, "refuted": 1}, {"untested": 1}]
    verdicts = {run.id: some for run, some in zip(runs, counts, strict=True)}
    runs = [replace(run, verdicts=verdicts[run.id]) for run in runs]
    return Timeline(runs, {"toy/weights/positive": verdicts, "toy/weights/steady": {runs[0].id: {"supported": 1}}})


def changes():
    before = documents.of_every_verdict()
    after = json.loads(json.dumps(before))
    for claim in after["claims"]:
        claim["verdict"] = {"supported": "refuted", "refuted": "supported"}.get(claim["verdict"], claim["verdict"])
    return compare(side_of(before, "yesterday"), side_of(after, "today"))


class Reader:
    """A page with a report, and all that went wrong or out of it."""

    def __init__(self, chromium, folder, **options):
        self.folder = folder
        self.context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.told, self.requests = [], []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, name="small", link=""):
        self.page.goto(f"file://{self.folder / name}.html{link}")
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self.page

    def close(self):
        self.context.close()
        assert self.told == []
        assert [url for url in self.requests if not url.startswith(f"file://{self.folder}/")] == []


@pytest.fixture
def reader(chromium, files):
    reader = Reader(chromium, files)
    yield reader
    reader.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request, chromium, files):
    reader = Reader(chromium, files, color_scheme=request.param)
    yield reader
    reader.close()


def visible(page, selector):
    return page.locator(selector).filter(visible=True)


def names(page):
    return [row.get_attribute("data-name").strip() for row in visible(page, ".grid tr[data-text]").all()]


def shown_mechanisms(page):
    return {row.get_attribute("data-mechanism") for row in visible(page, ".grid tr[data-text]").all()}


def focused(page):
    return page.evaluate("decodeURIComponent(document.activeElement.hash ?? document.activeElement.id ?? '')")


def until(page, condition):
    """Wait until a JavaScript condition holds; playwright's own way makes code of text, which the page forbids."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"in 20 seconds it never came to be that {condition}")


def drawn(page, many):
    """The plots of the open card, once all are there."""
    until(page, f"document.querySelectorAll('dialog .main-svg .xaxislayer-above').length >= {many}")
    return page.locator("dialog .js-plotly-plot")


# ---------------------------------------------------------------------------------------------------------------------
# Cards by themselves


def test_cards_in_frames_of_one_page_show_their_claims_and_draw_their_figures(reader):
    made = json.loads(json.dumps(documents.of_every_verdict()))
    sampled = [claim for claim in made["claims"] if len(claim["trail"]) > 1][:2]
    frames = [html.escape(card_html({**made, "claims": [claim]})) for claim in sampled]
    (reader.folder / "cards.html").write_text("".join(f'<iframe srcdoc="{frame}"></iframe>' for frame in frames))
    reader.page.goto(f"file://{reader.folder}/cards.html")
    for index, claim in enumerate(sampled):
        frame = reader.page.frame_locator("iframe").nth(index)
        frame.locator("html[data-ready]").wait_for(state="attached")
        assert frame.locator("h2").inner_text() == claim["statement"]
        assert frame.locator(".verdict-line .badge").inner_text().endswith(LABELS[word_of(claim)])
        further = len((claim["counterexample"] or {"figures": []})["figures"])
        # The band between the ends, both ends and the estimate; then the curves of a counterexample.
        assert frame.locator(".sketch path").count() == 4 + further
        assert frame.locator("a").count() == 0


# ---------------------------------------------------------------------------------------------------------------------
# The grid


def test_the_grid_shows_every_verdict_by_sign_colour_and_word(reader):
    page = reader.open()
    marks = page.locator(".grid a.mark")
    assert marks.count() == len(documents.of_every_verdict()["claims"])
    colours = {}
    for mark in marks.all():
        verdict = mark.get_attribute("data-verdict")
        assert mark.get_attribute("aria-label") == LABELS[verdict]
        assert mark.inner_text() == SYMBOLS[verdict]
        assert mark.is_visible()
        colours[verdict] = mark.evaluate("node => getComputedStyle(node).backgroundColor")
    assert colours.keys() == SYMBOLS.keys()
    assert len(set(colours.values())) == len(SYMBOLS)


@pytest.mark.parametrize(
    ("field", "value", "holds"),
    [
        ("system", "toy-1", lambda row: row["system"] == "toy-1"),
        ("mechanism", "toy-0/mechanism-2", lambda row: row["mechanism"] == "toy-0/mechanism-2"),
        ("kind", "structural", lambda row: row["kind"] == "structural"),
    ],
)
def test_a_filter_leaves_the_rows_that_fit(reader, field, value, holds):
    page = reader.open("two-systems")
    rows = page.locator(".grid tr[data-text]")
    every = [dict(one) for one in rows.evaluate_all("rows => rows.map(row => ({...row.dataset}))")]
    page.select_option(f"[name={field}]", value)
    expected = sum(holds(one) for one in every)
    assert 0 < expected < len(every)
    assert visible(page, ".grid tr[data-text]").count() == expected
    assert page.locator("output").inner_text() == f"{expected} of {len(every)} findings"
    headings = {row.get_attribute("data-mechanism") for row in visible(page, ".grid tr.mechanism").all()}
    assert headings == shown_mechanisms(page)
    page.click("text=Show all")
    playwright.expect(page.locator("output")).to_have_text(f"{len(every)} findings")


def test_a_search_takes_every_word_and_finds_statements_sources_and_checkpoints(reader):
    page = reader.open("two-systems")
    for text, many in (
        ("claim-003", 1),
        ("CLAIM-003 mechanism-1", 1),
        ("light-seed04 author", 24),
        ("no such thing", 0),
    ):
        page.fill("[name=text]", text)
        assert visible(page, ".grid tr[data-text]").count() == many


def test_verdicts_that_are_not_asked_for_fade_and_rows_without_any_other_go(reader):
    page = reader.open()
    for verdict in SYMBOLS:
        if verdict != "inconclusive":
            page.uncheck(f"[name=verdict][value={verdict}]")
    assert names(page) == ["often"]
    faded = visible(page, ".grid tr[data-text] a.mark.faded").all()
    assert {mark.get_attribute("data-verdict") for mark in faded} == {"refuted", "untested", "no-control"}


def test_rows_are_sorted_over_mechanisms_and_back(reader):
    page = reader.open("two-systems")
    before = names(page)
    share = "tables => tables.map(table => [...table.querySelectorAll('tr[data-text]')].map(row => +row.dataset.share))"
    page.select_option("[name=sort]", "most")
    for shares in page.locator(".grid").evaluate_all(share):
        assert shares == sorted(shares, reverse=True)
    assert visible(page, ".grid tr.mechanism").count() == 0
    page.select_option("[name=sort]", "name")
    assert names(page) != before
    page.select_option("[name=sort]", "")
    assert names(page) == before


# ---------------------------------------------------------------------------------------------------------------------
# Cards


def test_a_link_opens_its_card_which_tells_all_that_the_verdict_rests_on(reader):
    page = reader.open(link=SUPPORTED)
    card = page.locator("dialog[open]")
    text = card.inner_text()
    (claim,) = [
        one
        for one in documents.of_every_verdict()["claims"]
        if one["id"] == "toy/weights/positive" and one["verdict"] == "supported"
    ]
    told = [claim["statement"], "✓ supported", "light-seed00", "> 0", "1.5", claim["rerun"], "largely", "10,000"]
    told += ["A post about toys", "structural", "210 ms", claim["checkpoint"]["sha256"][:12], "untrained"]
    told += ["more than all 3", "1 undefined", "The model does more than all 3 draws of the control “untrained”"]
    told += ["one more draw would pass for that with probability 0.25 at most", "rank among controls"]
    told += ["2025-01-31", "2025-02-14", "The source says above 0.", "On record by then: 2 refuted, 1 supported."]
    told += ["Value(above=1) → Value(above=0)", f"{'0' * 12} → {'f' * 12}"]
    for part in told:
        assert part in text, part
    assert focused(page) == "card-title"


@pytest.mark.parametrize("link", ["#", "#nowhere", "#toy/weights/positive@elsewhere", "#%E0%A4%A", "#toy/weights"])
def test_a_link_to_no_card_opens_none(reader, link):
    page = reader.open(link=link)
    assert page.locator("dialog[open]").count() == 0


def test_closing_a_card_leads_back_to_its_place(reader):
    page = reader.open(link=SUPPORTED)
    page.click("dialog >> text=Close")
    assert page.locator("dialog[open]").count() == 0
    assert focused(page) == SUPPORTED
    assert "#" not in page.url


def test_a_card_leads_to_its_mechanism(reader):
    page = reader.open(link=SUPPORTED)
    page.click("dialog .path a")
    playwright.expect(page.locator("dialog[open]")).to_have_count(0)
    until(page, "Math.abs(document.getElementById('toy/weights').getBoundingClientRect().top) < innerHeight")
    assert page.url.endswith("#toy/weights")


def test_going_back_closes_a_card_and_going_on_opens_it(reader):
    page = reader.open()
    page.locator(".grid a.mark").first.click()
    page.wait_for_selector("dialog[open]")
    page.go_back()
    playwright.expect(page.locator("dialog[open]")).to_have_count(0)
    page.go_forward()
    page.wait_for_selector("dialog[open]")


@pytest.mark.parametrize("key", sorted({claim["id"] for claim in documents.of_every_verdict()["claims"]}))
def test_every_card_opens(reader, key):
    page = reader.open()
    for mark in page.locator(".grid a.mark").all():
        if mark.get_attribute("href").startswith(f"#{key}"):
            mark.click()
            assert page.locator("dialog #card-title").inner_text()
            page.keyboard.press("Escape")


def test_the_estimate_is_drawn_against_the_region_and_its_controls(reader):
    page = reader.open(link=SUPPORTED)
    model, published_or_control, *_ = page.locator("dialog .strips").first.locator(".strip-row").all()
    region, dot = (model.locator(part).bounding_box() for part in (".region", ".dot"))
    assert region["x"] <= dot["x"]
    assert dot["x"] + dot["width"] <= region["x"] + region["width"]
    assert published_or_control.locator(".tick").count() == 2
    refuted = reader.open(link="#toy/weights/positive@light-seed01").locator("dialog .strips").first
    region, dot = (refuted.locator(part).first.bounding_box() for part in (".region", ".dot"))
    assert dot["x"] + dot["width"] <= region["x"]


def test_figures_draw(reader):
    page = reader.open(link=SAMPLED)
    plots = drawn(page, 2)
    accumulating, counterexample = plots.nth(0), plots.nth(1)
    assert accumulating.locator(".scatterlayer .trace").count() == 3
    assert accumulating.locator(".shapelayer path").count() == 2
    assert counterexample.locator(".scatterlayer .point").count() == 3
    assert {"57 - 58", "steepness from 4.2 to 10", "−1.2"} <= set(
        page.locator("dialog dd, dialog .example").all_inner_texts()
    )


def test_replication_and_emergence_draw_the_finding_on_every_model(reader):
    page = reader.open(link="#toy/training/universal[finding=weights/positive,recipe=light]@3 checkpoints")
    replication = page.locator("dialog section", has_text="Replication over training runs")
    assert [dot.get_attribute("class") for dot in replication.locator("circle").all()] == [
        "dot supported",
        "dot refuted",
        "dot vacuous",
    ]
    page = reader.open(link="#toy/training/emergence[finding=weights/positive]@3 checkpoints")
    assert "Emergence over training steps" in page.locator("dialog").inner_text()
    assert drawn(page, 1).first.locator(".scatterlayer .point").count() == 3
    (table,) = page.locator("table.emergence").all()
    assert [mark.get_attribute("aria-label") for mark in table.locator(".mark").all()] == [
        "refuted",
        "refuted",
        "supported",
    ]


def test_nothing_of_plotly_runs_before_a_figure_is_asked_for(reader):
    page = reader.open()
    assert page.evaluate("typeof Plotly") == "undefined"
    page.evaluate(f"location.hash = '{SAMPLED}'")
    drawn(page, 2)
    assert page.evaluate("typeof Plotly") == "object"


# ---------------------------------------------------------------------------------------------------------------------
# By keyboard, in the dark, on paper, on a telephone


def test_the_keyboard_does_all(reader):
    page = reader.open()
    page.keyboard.press("/")
    page.keyboard.type("positive")
    assert names(page) == ["positive"]
    page.locator(".grid a.mark[tabindex='0']").focus()
    assert focused(page) == SUPPORTED
    page.keyboard.press("ArrowRight")
    assert focused(page) == "#toy/weights/positive@light-seed01"
    page.keyboard.press("End")
    assert focused(page).startswith("#toy/training/universal")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("dialog >> text=on light-seed01")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    assert focused(page) == "#toy/weights/positive@light-seed01"


def test_arrow_keys_go_up_and_down_the_rows_that_are_shown(reader):
    page = reader.open("two-systems")
    page.select_option("[name=system]", "toy-0")
    page.locator(".grid a.mark").filter(visible=True).first.focus()
    start = focused(page)
    page.keyboard.press("ArrowDown")
    below = focused(page)
    assert below != start
    assert below.partition("@")[2] == start.partition("@")[2]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert focused(page) == start


def test_one_mark_of_a_grid_is_in_the_tab_order(reader):
    page = reader.open("two-systems")
    assert page.locator(".grid a.mark[tabindex='0']").count() == page.locator(".grid").count() == 2


def test_dark_and_light_differ_and_figures_follow(scheme):
    page = scheme.open(link=SAMPLED)
    lightness = "node => getComputedStyle(node)[{0!r}].match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765"
    paper = page.locator("body").evaluate(lightness.format("backgroundColor"))
    ink = page.locator("body").evaluate(lightness.format("color"))
    tick = drawn(page, 2).first.locator(".xtick text").first.evaluate(lightness.format("fill"))
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (paper < 0.2, ink > 0.8, tick > 0.8) == (dark, dark, dark)
    page.emulate_media(color_scheme="light" if dark else "dark")
    light_ink = "getComputedStyle(document.querySelector('dialog .xtick text')).fill.match(/[0-9.]+/)[0] > 128"
    until(page, f"({light_ink}) === {str(not dark).lower()}")


@pytest.mark.parametrize("name", ["history", "comparison"])
def test_axe_finds_no_serious_fault_in_a_history_or_a_comparison(scheme, name):
    if name == "history":
        page = scheme.open("history", "#history")
        assert page.locator(".timeline .mark").count() == 3
        assert page.locator(".timeline tbody th").first.inner_text() == "toy/weights/positive"
    else:
        scheme.page.goto(f"file://{scheme.folder / name}.html")
        page = scheme.page
        assert page.locator(".badge.refuted").count() == 3
    found = axe.Axe().run(page).response["violations"]
    assert [fault for fault in found if fault["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("link", ["", SAMPLED, SUPPORTED])
def test_axe_finds_no_serious_fault(scheme, link):
    page = scheme.open(link=link)
    if link == SAMPLED:
        drawn(page, 2)
    found = axe.Axe().run(page).response["violations"]
    faults = {fault["id"]: [node["html"] for node in fault["nodes"]][:3] for fault in found}
    serious = {fault["id"] for fault in found if fault["impact"] in ("serious", "critical")}
    assert not serious, {name: faults[name] for name in serious}


@pytest.mark.parametrize("link", ["", SAMPLED])
@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_screen_scrolls_one_way_only(reader, width, link):
    reader.page.set_viewport_size({"width": width, "height": 740})
    page = reader.open(link=link)
    for root in ("document.documentElement", "document.querySelector('dialog')"):
        assert page.evaluate(f"{root}.scrollWidth <= Math.max({root}.clientWidth, 1)"), root
    assert page.locator(".grid a.mark").first.is_visible() or link


def test_paper_shows_the_whole_grid_or_the_open_card(reader):
    page = reader.open("two-systems")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#filters").is_visible()
    for table in page.locator(".grid").all():
        inside, around = table.bounding_box(), table.locator("xpath=..").bounding_box()
        assert inside["height"] <= around["height"] + 1
    assert page.locator("body").evaluate("node => getComputedStyle(node).color") == "rgb(29, 29, 27)"
    page = reader.open(link=SUPPORTED)
    assert page.locator("dialog").is_visible()
    assert not page.locator("main").is_visible()
    assert page.pdf().startswith(b"%PDF")


# ---------------------------------------------------------------------------------------------------------------------
# Nothing runs, nothing leaves


def test_what_the_results_say_is_text_and_never_runs(reader):
    page = reader.open("hostile")
    title = page.title()
    elements = set(page.evaluate("[...new Set([...document.querySelectorAll('*')].map(node => node.localName))]"))
    seen = page.locator("body").inner_text()
    for key in page.evaluate("JSON.parse(document.getElementById('data').textContent).cells.map(cell => cell.key)"):
        page.evaluate("key => location.hash = encodeURIComponent(key)", key)
        page.wait_for_selector("dialog[open] #card-title")
        if page.locator("dialog figure").count():
            drawn(page, page.locator("dialog figure").count())
        elements |= set(page.evaluate("[...new Set([...document.querySelectorAll('*')].map(node => node.localName))]"))
        seen += page.locator("dialog").inner_text()
    seen = " ".join(seen.split())
    for text in HOSTILE:
        assert " ".join(text.split()) in seen, text
    assert page.title() == title != "run"
    assert not {"img", "iframe", "object", "embed"} & elements
    assert page.locator("a:not([href^='#'])").count() == 0
    assert page.locator("body script").count() == 3


def test_the_page_refuses_any_other_script_and_any_request(chromium, files):
    reader = Reader(chromium, files)
    refused = []
    reader.page.on("requestfailed", lambda request: refused.append((request.url, request.failure)))
    page = reader.open()
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'run'";
            document.head.append(script);
            const image = new Image();
            image.src = "https://example.org/pixel.png";
            document.body.append(image);
        }"""
    )
    assert page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    assert page.title() != "run"
    reader.context.close()
    assert len([told for told in reader.told if re.search("Content Security Policy|violates", told)]) >= 3
    out = [url for url in reader.requests if not url.startswith("file://")]
    assert [(url, "csp") for url in out] == refused
