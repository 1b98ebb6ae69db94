import io
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from mechtests import Monotone, Permutation, Rank, Rate, Source, System, Value, Verdict, untrained
from mechtests.checkpoints import Checkpoint, Provenance
from mechtests.claiming.claim import Claim
from mechtests.families import Rendering
from mechtests.families.curve import Curve
from mechtests.inference import Interval
from mechtests.judging.counterexamples import Answer, Counterexample, Search
from mechtests.judging.evidence import Estimate
from mechtests.judging.judge import Judgement
from mechtests.judging.verdict import ControlResult
from mechtests.report.terminal import SYMBOLS, print_claims
from mechtests.results.record import (
    checkpoint_record,
    claim_record,
    extent_text,
    results_document,
    schema,
    untested_record,
    write_results,
)

RUN = {
    "id": "0",
    "started": "2025-01-01T00:00:00+00:00",
    "seconds": 1.0,
    "commit": None,
    "device": "cpu",
    "versions": {"torch": "2"},
    "seed": 0,
    "alpha": 0.001,
    "budget": 4096,
}
LATER = {"criterion", "trail", "findings"}
"""What the first results files did not have."""

CONTROL = ControlResult("untrained", (0.1, None), 0, 1 / 3, False)
FOUND = Search(
    Counterexample(
        {"steepness": 5.0, "n": 3},
        Rendering("a steep curve", (Curve("state", (0.0, 1.0), (0.0, 2.0)),)),
        Answer(True, -0.25),
        {"steepness": (4.21, 5.0), "n": (3, 3)},
    ),
    seconds=0.5,
)
UNANSWERED = replace(FOUND, counterexample=replace(FOUND.counterexample, answer=Answer(True, None, "ValueError: no")))
NOT_FOUND = Search(reason="none of 99 inputs that were tried failed")
SAMPLED = Estimate(0.97, Interval(0.93, 0.99), 256, e_value=1e6)
ESTIMATES = {
    "supported": SAMPLED,
    "refuted": Estimate(0.2, None, 9),
    "inconclusive": Estimate(0.9, Interval(0.8, 0.95), 64, e_value=1.0),
    "vacuous": None,
}


def stated(name="sum", expect=None):
    source = Source("A post", "A. Author", 2024).section("Weights")
    return Claim(f"toy/weights/{name}", "They are large.", source, expect or Rate(at_least=0.9), controls=(untrained,))


def judged(verdict="supported", name="sum", estimate=None, **changes):
    if estimate is None:
        estimate = ESTIMATES[verdict]
    system = System(torch.nn.Linear(2, 1), "toy")
    given = {"claim": stated(name), "params": {}, "system": system, "reason": "why"}
    judgement = Judgement(**{**given, "verdict": Verdict(verdict), "estimate": estimate, **changes})
    checkpoint = checkpoint_record([judgement.system] if judgement.system else [])
    return claim_record(judgement, checkpoint, "Are they large?", "pytest x")


def untested(name="sum"):
    return untested_record(stated(name), {"head": "L0H1"}, None, "Are they large?", "pytest x", "no checkpoint")


def of_every_verdict():
    return [*(judged(verdict, name=verdict) for verdict in ESTIMATES), untested("untested")]


def is_valid(document):
    return jsonschema.Draft202012Validator(schema()).is_valid(document)


def kinds_of(data):
    parts = [*data.keys(), *data.values()] if isinstance(data, dict) else data if isinstance(data, list | tuple) else []
    return {type(data)}.union(*map(kinds_of, parts))


def printed(records, **changes):
    file = io.StringIO()
    print_claims(records, **{"file": file, "width": 160, "colour": False, "each": False, **changes})
    return file.getvalue()


class TestResults:
    def test_of_every_verdict_follow_the_schema(self):
        document = results_document(RUN, of_every_verdict())
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
        assert {claim["verdict"] for claim in document["claims"]} == {verdict.value for verdict in Verdict}

    @pytest.mark.parametrize(
        "expect",
        [
            Rate(at_least=0.4, below=0.6),
            Value(above=0, at_most=1),
            Rank(at_most=1),
            Permutation(p_at_most=0.001, tail="low"),
            Monotone("increasing", at_least=1),
        ],
        ids=str,
    )
    def test_hold_every_region(self, expect):
        record = judged(claim=stated(expect=expect))
        assert record["expect"] == {"kind": expect.kind, "region": str(expect), **expect.ends()}
        assert is_valid(results_document(RUN, [record]))

    def test_hold_what_a_judgement_rests_on(self):
        record = judged(controls=(CONTROL,), curves=(Curve("loss", (0.0, 1.0), (3.0, 2.0)),), seconds=0.25)
        assert (record["estimate"], record["interval"], record["units"], record["e_value"]) == (
            0.97,
            [0.93, 0.99],
            256,
            1e6,
        )
        assert record["controls"] == [
            {"name": "untrained", "estimates": [0.1, None], "reached": 0, "p_value": 1 / 3, "clear": False}
        ]
        (figure,) = record["figures"]
        assert (figure["label"], list(figure["x"]), list(figure["y"])) == ("loss", [0, 1], [3, 2])
        assert (record["id"], record["system"], record["mechanism"]) == ("toy/weights/sum", "toy", "weights")
        assert record["source"] == {"title": "A post", "authors": "A. Author", "year": 2024, "at": "Weights"}
        assert (record["story"], record["rerun"], record["reason"]) == ("Are they large?", "pytest x", "why")

    def test_hold_the_counterexample_and_what_draws_it(self):
        record = judged(search=FOUND, seconds=0.25)
        assert record["counterexample"] == {
            "parameters": {"steepness": 5.0, "n": 3},
            "text": "a steep curve",
            "margin": -0.25,
            "raised": None,
            "fails": {"steepness": [4.21, 5.0], "n": [3, 3]},
            "figures": [{"kind": "curve", "label": "state", "x": (0.0, 1.0), "y": (0.0, 2.0)}],
        }
        assert (record["no_counterexample"], record["seconds"]) == (None, 0.75)

    def test_say_why_there_is_no_counterexample_where_one_was_searched_for(self):
        record = judged(search=NOT_FOUND)
        assert (record["counterexample"], record["no_counterexample"]) == (None, NOT_FOUND.reason)
        record = judged()
        assert (record["counterexample"], record["no_counterexample"]) == (None, None)

    @pytest.mark.parametrize("search", [FOUND, UNANSWERED, NOT_FOUND, None])
    def test_of_a_search_follow_the_schema_and_are_plain_data(self, search):
        record = judged(search=search)
        assert is_valid(json.loads(json.dumps(results_document(RUN, [record]))))
        assert kinds_of(record) <= {dict, list, tuple, str, int, float, bool, type(None)}

    def test_hold_no_interval_where_the_estimate_is_exact(self):
        record = judged("refuted")
        assert (record["estimate"], record["interval"], record["e_value"], record["units"]) == (0.2, None, None, 9)

    @pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), torch.tensor(0.5)], ids=type)
    def test_are_plain_data_that_workers_and_files_take(self, number):
        claim = Claim("toy/weights/sum", "They are.", Source("A post"), Rate(at_least=number), published=number)
        record = judged(claim=claim)
        assert (record["expect"]["at_least"], record["published"]) == (0.5, 0.5)
        assert kinds_of(record) <= {dict, list, tuple, str, int, float, bool, type(None)}

    def test_hold_the_weights_that_were_judged_also_where_they_are_in_no_file(self):
        system = System(torch.nn.Linear(2, 1), "toy")
        checkpoint = judged(system=system)["checkpoint"]
        assert (checkpoint["name"], checkpoint["sha256"], checkpoint["step"]) == ("toy", system.identity, None)
        assert judged(system=None)["checkpoint"] is None

    def test_hold_where_the_weights_came_from(self):
        made = Provenance("toy", {}, recipe="light", seed=3, step=50, commit="abc")
        file = Checkpoint(Path("run/seed3.safetensors"), "f" * 64, made)
        assert judged(system=System(torch.nn.Linear(2, 1), "toy", checkpoint=file))["checkpoint"] == {
            "name": "seed3",
            "sha256": "f" * 64,
            "step": 50,
            "seed": 3,
            "recipe": "light",
            "commit": "abc",
        }

    def test_hold_several_weights_together_in_any_order(self):
        systems = [System(torch.nn.Linear(2, 1), "toy") for _ in range(3)]
        together = checkpoint_record(systems)
        assert together == checkpoint_record(systems[::-1])
        assert together["name"] == "3 checkpoints"
        assert together["sha256"] != checkpoint_record(systems[:2])["sha256"]
        assert is_valid(results_document(RUN, [judged() | {"checkpoint": together}]))

    def test_of_an_untested_claim_say_why_and_no_number(self):
        record = untested()
        assert (record["verdict"], record["reason"], record["params"]) == (
            "untested",
            "no checkpoint",
            {"head": "L0H1"},
        )
        assert (record["estimate"], record["interval"], record["units"], record["controls"]) == (None, None, 0, [])
        assert record.keys() == judged().keys()

    def test_are_in_the_order_of_their_ids_whoever_came_first(self):
        records = of_every_verdict()
        document = results_document(RUN, records)
        assert [claim["id"] for claim in document["claims"]] == sorted(record["id"] for record in records)
        assert results_document(RUN, records[::-1]) == document

    def test_mark_what_survives_the_false_discovery_rate(self):
        strong, weak = (Estimate(0.95, Interval(0.9, 1.0), 9, e_value=e) for e in (1_000.0, 2.0))
        document = results_document(
            RUN,
            [
                judged(name="a", estimate=strong),
                judged(name="b", estimate=weak),
                judged("refuted", name="c"),
                judged("vacuous", name="d"),
                untested("e"),
            ],
        )
        assert [claim["survives_fdr"] for claim in document["claims"]] == [True, False, None, None, None]
        assert document["suite"] == {"fdr": 0.05, "sampled": 2, "surviving": 1}

    def test_mark_nothing_where_nothing_was_sampled(self):
        document = results_document(RUN, [judged("refuted"), untested()])
        assert document["suite"] == {"fdr": 0.05, "sampled": 0, "surviving": 0}
        assert is_valid(document)

    def test_take_an_e_value_without_end(self, tmp_path):
        endless = Estimate(1.0, Interval(0.9, 1.0), 9, e_value=float("inf"))
        document = results_document(RUN, [judged(estimate=endless)])
        write_results(tmp_path / "results.json", document)
        assert is_valid(json.loads((tmp_path / "results.json").read_text()))

    def test_are_written_whole(self, tmp_path):
        document = results_document(RUN, of_every_verdict())
        file = tmp_path / "deep" / "results.json"
        write_results(file, document)
        assert json.loads(file.read_text()) == document
        assert list(file.parent.iterdir()) == [file]


class TestSchema:
    def document(self):
        return json.loads(json.dumps(results_document(RUN, of_every_verdict())))

    def test_is_itself_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize("key", ["schema", "run", "suite", "claims"])
    def test_refuses_a_document_without_one_of_its_parts(self, key):
        document = self.document()
        del document[key]
        assert not is_valid(document)

    @pytest.mark.parametrize("key", sorted({*results_document(RUN, [untested()])["claims"][0]} - LATER))
    def test_refuses_a_claim_without_one_of_its_parts(self, key):
        document = self.document()
        del document["claims"][0][key]
        assert not is_valid(document)

    def test_takes_a_document_written_before_its_later_parts(self):
        document = self.document()
        for claim in document["claims"]:
            for key in LATER:
                del claim[key]
        assert is_valid(document)

    @pytest.mark.parametrize(
        "change",
        [
            {"verdict": "true"},
            {"id": "toy"},
            {"estimate": "0.9"},
            {"interval": [0.9]},
            {"units": -1},
            {"p_value": 2},
            {"controls": [{"name": "untrained"}]},
            {"evidence_kind": "anecdotal"},
            {"expect": {"kind": "hope", "region": ""}},
            {"checkpoint": {}},
            {"counterexample": {"text": "3"}},
            {"counterexample": judged(search=FOUND)["counterexample"] | {"fails": {"n": [3]}}},
            {"no_counterexample": 3},
            {"opinion": "good"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_refuses_a_claim_of_another_form(self, change):
        document = self.document()
        document["claims"][0].update(change)
        assert not is_valid(document)

    def test_refuses_another_version(self):
        assert not is_valid(self.document() | {"schema": "mechtests/2"})


class TestTerminal:
    @pytest.mark.parametrize("each", [False, True])
    @pytest.mark.parametrize("verdict", SYMBOLS)
    def test_tells_every_verdict_by_a_sign_and_a_word(self, verdict, each):
        record = untested() if verdict == "untested" else judged(verdict)
        assert f"{SYMBOLS[verdict]} {verdict}" in printed([record], each=each)

    def test_has_a_sign_of_its_own_for_every_verdict(self):
        assert set(SYMBOLS) == {verdict.value for verdict in Verdict}
        assert len(set(SYMBOLS.values())) == len(SYMBOLS)

    def test_is_plain_text_where_it_is_no_terminal(self):
        assert "\x1b" not in printed(of_every_verdict())
        assert "\x1b" in printed(of_every_verdict(), colour=True)

    @pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"])
    def test_is_plain_text_whatever_the_environment(self, variable, monkeypatch):
        monkeypatch.setenv(variable, "1")
        assert "\x1b" not in printed(of_every_verdict())

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    def test_can_be_written_where_not_every_sign_can(self, encoding):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        print_claims(of_every_verdict(), file, 120, colour=False, each=False)
        file.flush()
        text = file.buffer.getvalue().decode(encoding)
        assert all(verdict in text for verdict in SYMBOLS)

    def test_shows_claims_regions_numbers_and_controls(self):
        text = printed([judged(name="special-sum", controls=(CONTROL,))])
        shown = ["toy", "weights", "special-sum", "≥ 0.9", "0.97", "0.93", "0.99", "256", "untrained"]
        assert all(word in text for word in shown)

    @pytest.mark.parametrize(
        ("search", "told"),
        [
            (FOUND, "simplest input on which it fails: a steep curve"),
            (UNANSWERED, "simplest input that the claim's body cannot answer: a steep curve (ValueError: no)"),
            (NOT_FOUND, "no counterexample: none of 99 inputs that were tried failed"),
        ],
        ids=["found", "unanswered", "not found"],
    )
    def test_tells_the_counterexample_in_a_row_for_each(self, search, told):
        records = [judged(search=search)]
        assert told in " ".join(printed(records, each=True, width=400).split())
        assert "counterexample" not in printed(records)
        assert "simplest" not in printed(records)

    def test_takes_words_in_brackets_for_words(self):
        assert "[red]L0H1" in printed([judged(params={"head": "[red]L0H1"})])

    def test_counts_the_verdicts(self):
        text = printed([judged(name="a"), judged(name="b"), judged("refuted", name="c"), untested()])
        assert "4 verdicts" in text
        assert all(count in text for count in ["2 supported", "1 refuted", "1 untested"])

    def test_shows_a_claim_once_over_its_checkpoints_or_once_for_each(self):
        made = Provenance("toy", {})
        systems = [
            System(torch.nn.Linear(2, 1), "toy", checkpoint=Checkpoint(Path(name), name, made))
            for name in ("seed0", "seed1")
        ]
        records = [
            judged(verdict, name="special-sum", system=system)
            for verdict, system in zip(["supported", "refuted"], systems, strict=True)
        ]
        together, apart = printed(records), printed(records, each=True)
        assert together.count("special-sum") == 1
        assert all(word in together for word in ["supported", "refuted"])
        assert apart.count("special-sum") == 2
        assert all(name in apart for name in ["seed0", "seed1"])


class TestExtent:
    def test_is_told_parameter_by_parameter(self):
        assert extent_text(judged(search=FOUND)) == (
            "it fails there by 0.25, and with steepness from 4.21 to 5, with n at 3 alone"
        )

    def test_has_no_margin_where_there_is_none(self):
        assert extent_text(judged(search=UNANSWERED)).startswith("it fails there, and with steepness")

    def test_is_not_told_where_there_is_no_counterexample(self):
        assert extent_text(judged(search=NOT_FOUND)) is None
        assert extent_text(untested()) is None
