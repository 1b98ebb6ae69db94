"""Cost of opening the report of 100 claims on 20 checkpoints, compared with a page that plotly writes itself.

plotly's page has the library in it as every such page does, and one figure of as many points as the report has
verdicts. The report unpacks the library only when a card with a figure is opened, which is measured by itself. Ready
means that the grid is drawn, filters and keys work, and the browser has painted.
"""

import json
import shutil
import statistics
import time

import plotly.graph_objects as go
import pytest

from mechtests.report.html import report_html
from tests import documents

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CLAIMS, CHECKPOINTS, LIMIT = 100, 20, 8_000_000
RATIO = 2
OPENINGS = 5
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
QUIET += ("--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="module")
def browser():
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=QUIET)
        yield running
        running.close()


def seconds_to_ready(browser, path, ready):
    """From the start of loading to the frame after the page is ready, in a browser profile of its own."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(f"file://{path}", wait_until="commit")
    page.wait_for_selector(ready, state="attached")
    painted = page.evaluate(PAINTED) / 1000
    context.close()
    return painted


def test_the_report_opens_no_slower_than_twice_a_page_of_plotlys_own(benchmark, browser, tmp_path):
    made = json.loads(json.dumps(documents.document(CLAIMS, CHECKPOINTS, 10)))
    began = time.perf_counter()
    html = report_html([made])
    writing = time.perf_counter() - began
    report, usual = tmp_path / "report.html", tmp_path / "plotly.html"
    report.write_text(html)
    points = [claim["estimate"] for claim in made["claims"]]
    go.Figure(go.Scatter(y=points, mode="markers")).write_html(usual, include_plotlyjs=True)
    seconds = {report: [], usual: []}
    for _ in range(OPENINGS):
        seconds[report].append(seconds_to_ready(browser, report, "html[data-ready]"))
        seconds[usual].append(seconds_to_ready(browser, usual, ".main-svg .xaxislayer-above"))
    opening, plain = statistics.median(seconds[report]), statistics.median(seconds[usual])

    key = next(link for link in html.split('href="#') if link.startswith("toy-0/mechanism-0/claim-000")).split('"')[0]

    def open_a_card():
        return seconds_to_ready(browser, f"{report}#{key}", "dialog .main-svg .xaxislayer-above")

    card = benchmark.pedantic(open_a_card, rounds=1)
    benchmark.extra_info.update(
        verdicts=len(points),
        megabytes=len(html.encode()) / 1e6,
        megabytes_of_plotlys_page=usual.stat().st_size / 1e6,
        writing_seconds=writing,
        opening_seconds=opening,
        opening_seconds_of_plotlys_page=plain,
        opening_seconds_of_a_card_with_its_figure=card,
        ratio=opening / plain,
    )
    assert len(html.encode()) <= LIMIT
    assert opening <= RATIO * plain
