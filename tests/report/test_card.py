"""``mechtests card``: verdicts in a model card, in the form that Hugging Face reads."""

import json
import re

import pytest
import yaml

from mechtests.cli import main
from mechtests.report.card import BEGIN, END, CardError, card_claims, updated_card
from mechtests.results.document import results_document, write_results
from tests import documents
from tests.documents import HOSTILE, RUN

DOCUMENT = documents.of_every_verdict()
CLAIMS = card_claims(DOCUMENT, "light-seed00")

CARD = """---
# what a reader should know first
license:   mit
tags: [a,  "b"]   # as we like them

model-index:
- name: mine
  results:
  - task: {type: text-generation}
    dataset: {type: wikitext, name: WikiText}
    metrics:
    - {type: perplexity, value: 12.5}
# about the language
language:
    - en
---

# Mine

Trailing spaces stay.   
<!-- a comment -->
"""  # noqa: W291


def front(card):
    return yaml.safe_load(card.split("---")[1])


def updated(card="", claims=CLAIMS, document=DOCUMENT):
    return updated_card(card, document, claims)


class TestIndex:
    def test_has_a_result_for_each_mechanism_and_a_metric_for_each_finding(self):
        (model,) = front(updated())["model-index"]
        assert model["name"] == "light-seed00"
        results = {result["dataset"]["name"]: result for result in model["results"]}
        assert set(results) == {"toy/weights", "toy/habits"}
        (metric,) = results["toy/weights"]["metrics"]
        assert (metric["type"], metric["name"], metric["value"]) == ("verdict", "toy/weights/positive", "supported")
        assert metric["args"] == {"region": "> 0", "estimate": 1.5, "units": 10_000}
        assert results["toy/habits"]["metrics"][0]["args"]["interval"] == [0.4, 0.6]

    def test_is_read_by_hugging_face(self, tmp_path):
        hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
        (tmp_path / "README.md").write_text(updated(CARD))
        card = hub.ModelCard.load(tmp_path / "README.md")
        ours = [result for result in card.data.eval_results if result.dataset_type == "mechtests"]
        assert {(result.metric_name, result.metric_value) for result in ours} == {
            ("toy/weights/positive", "supported"),
            ("toy/habits/often", "inconclusive"),
        }
        (theirs,) = [result for result in card.data.eval_results if result.dataset_type != "mechtests"]
        assert (card.data.model_name, theirs.metric_value, card.data.license) == ("mine", 12.5, "mit")

    def test_keeps_what_others_put_there_and_replaces_its_own(self):
        once = updated(CARD)
        (claim, _) = CLAIMS
        twice = updated(once, [{**claim, "verdict": "refuted"}])
        (model,) = front(twice)["model-index"]
        assert [result["dataset"]["type"] for result in model["results"]] == ["wikitext", "mechtests"]
        assert model["results"][1]["metrics"][0]["value"] == "refuted"


class TestCard:
    @pytest.mark.parametrize(
        "card",
        [
            "",
            "# Mine\n",
            "# Mine",
            "---\n---\n",
            "---\nlicense: mit\n---\n# Mine\n\n",
            "---\nlicense: mit\nmodel-index: []\n---\n",
            "---\nmodel-index:\nlicense: mit\n---\n",
            "---\nmodel-index:\n\n# x\n---\ntext",
            "---\nmodel-index: null # none yet\nlicense: mit\n---\n",
            CARD,
            CARD.replace("\n", "\r\n"),
            f"before\n{BEGIN}\nold\n{END}\nafter",
            "# a rule\n\n---\n\nlicense: mit\n\n---\n",
        ],
    )
    def test_is_the_same_however_often_it_is_updated(self, card):
        once = updated(card)
        assert updated(once) == once
        assert once.count(BEGIN) == once.count(END) == 1
        assert "toy/weights/positive" in str(front(once)["model-index"])
        if "license: mit\n---" in card or "\nlicense: mit\n---" in card:
            assert front(once)["license"] == "mit"

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_stays_as_it_is_but_for_the_index_and_the_section(self, ending):
        card = CARD.replace("\n", ending)
        after = updated(card)
        start, end = card.index("model-index:"), card.index("# about the language")
        assert after.startswith(card[:start])
        assert card[end:] in after
        assert after.partition(BEGIN)[0].endswith(card[end:] + ending)
        assert after.endswith(END + ending)
        assert ("\r\n" in after) == (ending == "\r\n")
        assert not re.search(r"(?<!\r)\n", after) or ending == "\n"

    def test_keeps_what_is_around_the_section(self):
        after = updated(f"---\na: 1\n---\nbefore {BEGIN}old{END} after\n\n\n")
        assert after.partition(BEGIN)[0].endswith("---\nbefore ")
        assert after.endswith(f"{END} after\n\n\n")
        assert "old" not in after

    def test_tells_the_verdicts(self):
        section = updated().partition(BEGIN)[2]
        assert "1 of 2 claims are supported on light-seed00 (sha256 010013880000)" in section
        assert re.search(r"\| weights \| The positive of .* \| ✓ supported \| 1.5 \| &gt; 0 \| largely \|", section)
        assert "? inconclusive | 0.5 [0.4, 0.6] |".replace("[", "&#91;").replace("]", "&#93;") in section

    def test_shows_names_as_text(self):
        document = documents.hostile()
        for claim in document["claims"]:
            claim["statement"] += f"\n{END}\n---\n|"
            claim["params"] = {"head": "|\n" + HOSTILE[0]}
        claims = card_claims(document, "01001388")
        card = updated_card("", document, claims)
        section = card.partition(BEGIN)[2].removesuffix(f"{END}\n")
        assert not re.search(r"<[a-zA-Z/!]", section)
        assert "://" not in section
        assert {line.count("|") for line in section.splitlines() if line.startswith("|")} == {7}
        assert updated_card(card, document, claims) == card
        metrics = [metric for result in front_of(card)["model-index"][0]["results"] for metric in result["metrics"]]
        assert len(metrics) == len(claims)


def front_of(card):
    """The front matter of a card whose text may hold rules of its own."""
    return yaml.safe_load(card.removeprefix("---\n").split("\n---\n")[0])


class TestWrong:
    @pytest.mark.parametrize(
        ("card", "said"),
        [
            ("---\na: [1\n---\n", "not YAML"),
            ("---\n- a\n---\n", "not a mapping"),
            ("---\n{a: 1}\n---\n", "written in braces"),
            ("---\nmodel-index: 3\n---\n", "not a list of models"),
            ("---\nmodel-index:\n- 3\n---\n", "not a list of models"),
            ("---\nmodel-index: []\nmodel-index: []\n---\n", "2 times"),
            ("---\nmodel-index: &x []\nother: *x\n---\n", "not YAML"),
            (f"{BEGIN}\n", "once each and in this order"),
            (f"{END}\n{BEGIN}\n", "once each and in this order"),
            (f"{BEGIN}{END}{BEGIN}{END}", "once each and in this order"),
        ],
    )
    def test_cards_are_told(self, card, said):
        with pytest.raises(CardError, match=said):
            updated(card)

    def test_checkpoints_are_told(self):
        for name, said in [
            ("none", "no verdict on none. Judged here: light-seed00"),
            (None, "Name it with --checkpoint"),
        ]:
            with pytest.raises(CardError, match=said):
                card_claims(DOCUMENT, name)
        with pytest.raises(CardError, match=r"no verdict on any checkpoint\. Judged here: none"):
            card_claims(results_document(RUN, []), None)


class TestCommand:
    @pytest.fixture
    def results(self, tmp_path):
        write_results(tmp_path / "results.json", json.loads(json.dumps(DOCUMENT)))
        return tmp_path / "results.json"

    def test_makes_and_updates_a_card(self, results, tmp_path, capsys):
        card = tmp_path / "deep" / "README.md"
        words = ["card", str(results), str(card), "--checkpoint", "light-seed00"]
        assert main(words) == 0
        assert capsys.readouterr().out == f"{card}\n"
        first = card.read_bytes()
        assert b"# light-seed00\n" in first
        assert main(words) == 0
        assert card.read_bytes() == first
        assert [file.name for file in card.parent.iterdir()] == ["README.md"]

    def test_says_what_is_wrong_in_one_line_and_leaves_the_card(self, results, tmp_path, capsys):
        (tmp_path / "latin.md").write_bytes(b"\xe9")
        (tmp_path / "broken.md").write_text("---\na: [1\n---\n")
        (tmp_path / "file").write_text("")
        for words, said in [
            ([results, tmp_path / "new.md"], "Name it with --checkpoint"),
            ([tmp_path / "none.json", tmp_path / "new.md"], "No such file"),
            ([results, tmp_path / "latin.md", "--checkpoint", "light-seed00"], "not UTF-8 text"),
            ([results, tmp_path / "broken.md", "--checkpoint", "light-seed00"], "not YAML"),
            (
                [results, tmp_path / "file" / "new.md", "--checkpoint", "light-seed00"],
                "Name a file that can be written",
            ),
        ]:
            assert main(["card", *map(str, words)]) == 2
            error = capsys.readouterr().err
            assert said in error
            assert error.count("\n") == 1
        assert (tmp_path / "broken.md").read_text() == "---\na: [1\n---\n"
        assert (tmp_path / "latin.md").read_bytes() == b"\xe9"
        assert not (tmp_path / "new.md").exists()
