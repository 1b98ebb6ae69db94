"""The claim-status report as text: what it holds, and that it holds nothing that could run or reach out."""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from zlib import decompress

import jsonschema
import pytest
from plotly.offline import get_plotlyjs

from mechtests.report.grid import Grid
from mechtests.report.html import card_html, report_html, write_html
from mechtests.report.text import LABELS, SYMBOLS, word_of
from mechtests.results.document import merged, results_document, schema
from tests import documents
from tests.documents import HOSTILE, RUN

LIMIT = 8_000_000


class Page(HTMLParser):
    """The elements of a page, as a browser's parser would find them, and the text between."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.scripts, self._within = [], [], {}, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._within = dict(attrs).get("id") or dict(attrs).get("type")
            self.scripts[self._within] = ""

    def handle_endtag(self, tag):
        if tag == "script":
            self._within = None

    def handle_data(self, data):
        if self._within:
            self.scripts[self._within] += data
        else:
            self.text.append(data)

    def all(self, tag, **attributes):
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    @property
    def data(self):
        return json.loads(self.scripts["data"])

    @property
    def shown(self):
        return " ".join(" ".join(self.text).split())


def page(*made):
    return Page(report_html([json.loads(json.dumps(one)) for one in made]))


@pytest.fixture(scope="module")
def small():
    return page(documents.of_every_verdict())


@pytest.fixture(scope="module")
def hostile():
    return page(documents.hostile())


def marks(found):
    return [mark for mark in found.all("a") if mark.get("class", "").startswith("mark ")]


class TestDocuments:
    @pytest.mark.parametrize("made", [documents.of_every_verdict(), documents.hostile(), documents.document(6, 2)])
    def test_of_these_tests_are_results_files(self, made):
        jsonschema.validate(json.loads(json.dumps(made)), schema(), jsonschema.Draft202012Validator)


class TestReport:
    def test_has_a_mark_with_sign_and_word_for_every_verdict(self, small):
        made = documents.of_every_verdict()
        words = sorted(word_of(claim) for claim in made["claims"])
        assert sorted(mark["aria-label"] for mark in marks(small)) == sorted(LABELS[word] for word in words)
        assert set(words) == set(SYMBOLS)
        assert sorted(mark["class"] for mark in marks(small)) == [f"mark {word}" for word in words]
        assert all(SYMBOLS[word] in small.shown for word in words)

    def test_says_in_a_sentence_which_findings_hold(self):
        generator_free = documents.of_every_verdict()
        assert "Of 2 findings, 0 hold on every checkpoint, 2 on some and 0 on none" in page(generator_free).shown

    def test_names_runs_checkpoints_sources_and_mechanisms(self, small):
        for text in ("light-seed00", "A post about toys", "A. Author", "Weights", "toy/weights", "0.001", "torch 2.13"):
            assert text in small.shown or any(text in str(found) for _, found in small.elements), text

    def test_has_a_claims_registration_and_amendments(self, small):
        claims = {claim["id"]: claim for claim in small.data["claims"]}
        amended = claims["toy/weights/positive"]
        assert (amended["registered"], amended["amendments"]) == ("2025-01-31", [documents.AMENDMENT])
        assert "amendments" not in claims["toy/habits/often"]

    def test_links_every_mark_to_a_card_of_its_own(self, small):
        keys = {cell["key"] for cell in small.data["cells"]}
        assert len(keys) == len(small.data["cells"]) == len(marks(small))

    def test_shows_claims_about_findings_beside_them(self, small):
        about = [cell for cell in small.data["cells"] if "about" in cell]
        assert len(about) == 2
        assert {small.data["claims"][cell["about"]]["id"] for cell in about} == {"toy/weights/positive"}

    def test_is_the_same_for_the_same_results(self):
        made = documents.document(4, 2)
        assert report_html([made]) == report_html([json.loads(json.dumps(made))])

    def test_is_written_whole(self, tmp_path):
        write_html(tmp_path / "deep" / "index.html", [documents.of_every_verdict()])
        assert [file.name for file in (tmp_path / "deep").iterdir()] == ["index.html"]

    def test_takes_a_run_without_claims(self):
        assert "Of 0 findings" in page(results_document(RUN, [])).shown

    def test_takes_claims_over_findings_that_the_file_does_not_have(self):
        made = documents.of_every_verdict()
        made["claims"] = [claim for claim in made["claims"] if claim["findings"]]
        assert len(marks(page(made))) == 2

    def test_needs_a_document(self):
        with pytest.raises(ValueError, match="one results file or more"):
            report_html([])

    @pytest.mark.parametrize("number", [1e-300, -1e300, 0.0, -0.0, 123456.789, 5e-324])
    def test_takes_any_number(self, number):
        made = documents.document(2, 2)
        for claim in made["claims"]:
            claim |= {"estimate": number, "interval": [number, number], "published": number}
        assert len(page(made).data["cells"]) == 4

    def test_of_a_hundred_claims_on_twenty_checkpoints_is_within_its_limit(self):
        made = report_html([documents.document(100, 20, 10, draws=(99, 99))]).encode()
        assert len(made) <= LIMIT


def alone(made, index):
    """A results file of one claim of ``made``."""
    return json.loads(json.dumps({**made, "claims": [made["claims"][index]]}))


class TestCard:
    """The page that one claim's card has to itself."""

    @pytest.mark.parametrize("made", [documents.of_every_verdict(), documents.hostile()], ids=["plain", "hostile"])
    def test_has_the_claim_and_runs_one_script_that_asks_nothing_of_anyone(self, made):
        for index, claim in enumerate(made["claims"]):
            found = Page(card_html(alone(made, index)))
            assert [cell["verdict"] for cell in found.data["cells"]] == [word_of(claim)]
            assert found.data["claims"][0]["statement"] == claim["statement"]
            assert sorted(found.scripts) == ["data", "module"]
            (policy,) = [one["content"] for one in found.all("meta") if "content" in one and "http-equiv" in one]
            script = b64encode(hashlib.sha256(found.scripts["module"].encode()).digest()).decode()
            assert f"default-src 'none'; script-src 'sha256-{script}';" in policy

    def test_what_the_results_say_makes_no_element(self):
        plain, hostile = (
            [tag for tag, _ in Page(card_html(alone(made, 0))).elements]
            for made in (documents.of_every_verdict(), documents.hostile())
        )
        assert hostile == plain

    def test_is_small_with_figures_too(self):
        made = documents.of_every_verdict()
        (sampled, *_) = [i for i, claim in enumerate(made["claims"]) if len(claim["trail"]) > 1]
        assert len(card_html(alone(made, sampled)).encode()) < 60_000

    @pytest.mark.parametrize("many", [0, 2])
    def test_is_of_one_claim(self, many):
        made = documents.of_every_verdict()
        with pytest.raises(ValueError, match="unpack"):
            card_html({**made, "claims": made["claims"][:many]})


class TestSafety:
    def test_what_the_results_say_makes_no_element(self, hostile, small):
        counted = lambda found: sorted({tag for tag, _ in found.elements})  # noqa: E731
        assert counted(hostile) == counted(small)
        assert len(hostile.all("script")) == 3
        assert not hostile.all("img")
        assert not [found for _, found in hostile.elements if any(name.startswith("on") for name in found)]

    def test_what_the_results_say_is_shown_as_it_is(self, hostile):
        for text in HOSTILE:
            shown = " ".join(text.split())
            assert shown in hostile.shown or text in str(hostile.data), text

    def test_the_data_ends_no_script_and_is_what_it_was(self, hostile):
        assert not set("<>&") & set(hostile.scripts["data"])
        statements = {claim["statement"] for claim in hostile.data["claims"]}
        assert statements == {claim["statement"] for claim in documents.hostile()["claims"]}

    def test_the_policy_names_the_two_scripts_and_nothing_else(self, hostile):
        (policy,) = [found["content"] for found in hostile.all("meta") if "http-equiv" in found]
        code = get_plotlyjs()
        hashes = [
            "'sha256-" + b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
            for script in (hostile.scripts["module"], code)
        ]
        assert f"script-src {' '.join(hashes)};" in policy
        assert policy.startswith("default-src 'none';")
        assert "http" not in policy

    def test_holds_plotly_once(self, small):
        assert decompress(b64decode(small.scripts["plotly"])).decode() == get_plotlyjs()

    def test_names_no_address(self, small):
        html = report_html([documents.of_every_verdict()])
        without = html.replace(small.scripts["plotly"], "")
        assert set(re.findall(r"https?://[^\s\"']+", without)) <= {"http://www.w3.org/2000/svg"}
        assert not [found for _, found in small.elements if {"src", "srcset", "action"} & found.keys()]
        assert all(link["href"].startswith("#") for link in small.all("a"))


class TestSeveralFiles:
    def test_the_later_run_counts_whatever_the_order(self):
        earlier, later = documents.document(2, 2, seed=1), documents.document(2, 2, seed=2)
        later["run"] = {**RUN, "started": "2025-04-01T12:00:00+00:00"}
        expected = [claim["estimate"] for claim in later["claims"]]
        for both in ([earlier, later], [later, earlier]):
            assert [claim["estimate"] for claim in merged(both)["claims"]] == expected
        assert [run["started"][:7] for run in Grid([later, earlier]).runs] == ["2025-03", "2025-04"]

    def test_what_could_not_be_judged_again_keeps_its_verdict(self):
        earlier, later = documents.document(2, 2, seed=1), documents.document(2, 2, seed=1)
        later["run"] = {**RUN, "started": "2025-04-01T12:00:00+00:00"}
        for claim in later["claims"]:
            claim.update(verdict="untested", estimate=None, reason="the package is not installed")
        assert merged([earlier, later])["claims"] == merged([earlier])["claims"]
        assert {claim["verdict"] for claim in merged([later])["claims"]} == {"untested"}

    def test_add_up_over_checkpoints_and_systems(self):
        one, two = documents.document(2, 2), documents.document(2, 3, systems=2, seed=1)
        grid = Grid([one, two])
        assert [system.name for system in grid.systems] == ["toy-0", "toy-1"]
        assert len(grid.cells) == len({cell.key for cell in grid.cells})
        assert sum(grid.counts.values()) == sum(len(row.cells) for system in grid.systems for row in system.rows)

    def test_hold_their_false_discovery_rate_together(self):
        suite = merged([documents.document(4, 2), documents.document(4, 2, systems=2, seed=1)])["suite"]
        sampled = [claim for claim in documents.document(4, 2)["claims"] if claim["e_value"] is not None]
        assert suite["sampled"] > len(sampled)

    def test_tell_apart_checkpoints_of_one_name(self):
        one, two = documents.document(1, 1), documents.document(1, 1)
        for claim in two["claims"]:
            claim["checkpoint"] = {**claim["checkpoint"], "sha256": "e" * 64}
        grid = Grid([one, two])
        assert [column.name for column in grid.columns] == [
            "light-seed00@01001388000",
            "light-seed00@eeeeeeeeeeee",
        ] or len({column.name for column in grid.columns}) == 2


class TestGrid:
    def test_orders_checkpoints_by_their_making_then_those_together_then_none(self):
        names = [column.name for column in Grid([documents.of_every_verdict()]).columns]
        assert names == ["light-seed00", "light-seed01", "light-seed02", "3 checkpoints", "no checkpoint"]

    def test_counts_a_finding_as_holding_on_most_where_more_than_half_support_it(self):
        made = documents.document(1, 4)
        for claim, verdict in zip(made["claims"], ("supported", "supported", "refuted", "untested"), strict=True):
            claim["verdict"] = verdict
        (row,) = Grid([made]).strongest
        assert (row.supported, row.judged) == (2, 3)
        made["claims"][1]["verdict"] = "vacuous"
        assert not Grid([made]).strongest

    def test_finds_the_findings_judged_along_a_training_run(self):
        (weights,) = [one for one in Grid([documents.of_every_verdict()]).mechanisms if one.name == "weights"]
        ((run, ((row, _, judged),)),) = weights.along_training.items()
        assert (run, row.name) == ("light, seed 0", "positive")
        assert [one["checkpoint"]["step"] for one in judged] == [100, 1000, 5000]

    def test_makes_a_report_card_for_single_checkpoints(self):
        weights = next(one for one in Grid([documents.of_every_verdict()]).mechanisms if one.name == "weights")
        assert list(weights.cards) == ["light-seed00", "light-seed01", "light-seed02"]
        assert [made.tier for made in weights.cards.values()] == ["proposed", None, None]
        reliability = weights.cards["light-seed00"].criteria[5]
        assert (reliability.name, reliability.claims) == ("reliability", ("toy/training/universal",))
