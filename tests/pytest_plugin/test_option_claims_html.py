"""``--claims-html``: where the report goes."""

from tests.suite import BY_VERDICT, SUPPORTED


def test_a_run_writes_the_page_to_read_and_names_it(suite):
    result = suite.claims(*BY_VERDICT.values()).run()
    page = (suite.path / "reports" / "latest" / "index.html").read_text()
    result.stdout.fnmatch_lines(["report: reports/latest/index.html"])
    assert all(f'href="#toy/weights/{claim["id"].split("/")[-1]}%40' in page for claim in suite.document()["claims"])


def test_the_page_goes_where_it_is_asked_to(suite):
    result = suite.claims(SUPPORTED).run("--claims-html=there/page.html")
    assert "toy/weights/positive" in (suite.path / "there" / "page.html").read_text()
    result.stdout.fnmatch_lines(["report: there/page.html"])
    assert not (suite.path / "reports" / "latest" / "index.html").exists()
