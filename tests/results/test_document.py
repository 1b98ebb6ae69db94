"""Results files: what they hold, and what their schema takes and refuses."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from mechtests import Monotone, Permutation, Rank, Rate, Source, System, Value, Verdict
from mechtests.checkpoints import Checkpoint, Provenance
from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.families.curve import Curve
from mechtests.inference import Interval
from mechtests.results.document import results_document, schema, write_results
from mechtests.results.making import checkpoint_record
from tests.documents import RUN
from tests.results.records import CONTROL, FOUND, NOT_FOUND, UNANSWERED, judged, of_every_verdict, stated, untested


def is_valid(document):
    return jsonschema.Draft202012Validator(schema()).is_valid(document)


def kinds_of(data):
    parts = [*data.keys(), *data.values()] if isinstance(data, dict) else data if isinstance(data, list | tuple) else []
    return {type(data)}.union(*map(kinds_of, parts))


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
            {
                "name": "untrained",
                "redrawn": True,
                "draws": 19,
                "estimates": [None, 0.1],
                "reached": 1,
                "clear": False,
                "margin": 0.25,
                "error": pytest.approx(0.052),
                "e_value": 0.0,
                "closest": {"draw": 1, "ahead": 0.5, "interval": [0.2, 0.7]},
            }
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
            "figures": [{"kind": "curve", "label": "state", "x": [0.0, 1.0], "y": [0.0, 2.0]}],
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
        """The e-value of region and controls together counts; verdicts in which there is no chance have none."""
        document = results_document(
            RUN,
            [
                judged(name="a", combined_e_value=1_000.0),
                judged(name="b", combined_e_value=2.0),
                judged("refuted", name="c"),
                judged("vacuous", name="d"),
                untested("e"),
            ],
        )
        assert [claim["survives_fdr"] for claim in document["claims"]] == [True, False, None, None, None]
        assert document["suite"] == {"fdr": 0.05, "sampled": 2, "surviving": 1, "vacuity": None}

    def test_mark_nothing_where_nothing_was_sampled(self):
        document = results_document(RUN, [judged("refuted"), untested()])
        assert document["suite"] == {"fdr": 0.05, "sampled": 0, "surviving": 0, "vacuity": None}
        assert is_valid(document)

    def test_state_the_greatest_error_about_a_control_behind_a_supported_claim(self):
        few, many, whole = (
            replace(CONTROL, values=(0.0,), reached=0, planned=planned, redrawn=redrawn)
            for planned, redrawn in ((19, True), (59, True), (2, False))
        )
        document = results_document(
            RUN,
            [
                judged(name="a", controls=(few, many)),
                judged(name="b", controls=(many,)),
                judged(name="c", controls=(whole,)),
                judged("vacuous", name="d", controls=(replace(few, planned=3),)),
            ],
        )
        assert document["suite"]["vacuity"] == pytest.approx(1 / 20 + 0.002)

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

    @pytest.mark.parametrize("key", sorted(untested()))
    def test_refuses_a_claim_without_one_of_its_parts(self, key):
        document = self.document()
        del document["claims"][0][key]
        assert not is_valid(document)

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
        assert not is_valid(self.document() | {"schema": "mechtests/1"})
