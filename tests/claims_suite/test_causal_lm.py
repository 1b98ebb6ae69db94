"""A run of claims on models of transformers: judged where they can be, untested with the reason where they cannot."""

import json
import sys

import pytest
import torch

from mechtests.cache import Cache
from mechtests.systems import CausalLM

transformers = pytest.importorskip("transformers", reason="pip install 'mechtests[hf]'")

CONFTEST = """
from mechtests import register_checkpoints, system_fixture
from mechtests.systems import CausalLM, Induction

induction = system_fixture("induction", Induction.load, "none/*.safetensors", "train one")
register_checkpoints("causal-lm", of="induction", load=CausalLM.load, default="shipped/*", obtain="train another")
"""

CLAIM = """
from mechtests import Value, Source, claim
from mechtests.families import RepeatedTokens

@claim("induction/size/as-large-as-its-vocabulary", "Losses are near the logarithm of the vocabulary.",
       source=Source("Nobody"), expect=Value(at_least=4.0, at_most=4.5), kind="behavioural", controls=[])
def test_loss(induction, evidence):
    tokens = RepeatedTokens(d_vocab=induction.d_vocab).sample(8, evidence.generator).tokens
    evidence.value(induction.losses(tokens).mean())
"""


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """All that a model needs is imported out here: a run inside forgets its imports, and torch takes none twice."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    save(folder)
    CausalLM.load(folder, torch.device("cpu"), Cache()).losses(torch.zeros(2, 8, dtype=torch.long))


@pytest.fixture
def suite(pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_size=CLAIM)
    return pytester


def save(folder, **changes):
    sizes = {"vocab_size": 70, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2} | changes
    config = transformers.GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def claims_of(suite):
    return json.loads((suite.path / "results.json").read_text())["claims"]


def test_a_named_directory_is_judged_by_its_whole_name(suite):
    save(suite.path / "models" / "Toy-3.2-1B")
    result = suite.runpytest_inprocess("--checkpoint", "causal-lm=models/*", "--claims-results", "results.json")
    result.assert_outcomes(passed=1)
    (record,) = claims_of(suite)
    assert record["checkpoint"]["name"] == "Toy-3.2-1B"
    assert record["verdict"] == "supported"
    assert record["params"] == {}


def test_a_named_directory_that_cannot_be_used_stops_the_run(suite):
    save(suite.path / "small", n_positions=32)
    result = suite.runpytest_inprocess("--checkpoint", "causal-lm=small")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*small: 70 tokens and 32 positions.*needs 64 of both."])


def test_a_directory_that_nobody_named_and_cannot_be_used_is_untested(suite):
    save(suite.path / "shipped" / "small", n_positions=32)
    save(suite.path / "shipped" / "whole")
    suite.runpytest_inprocess("--claims-results", "results.json")
    verdicts = {record["verdict"]: record["reason"] for record in claims_of(suite)}
    assert verdicts.keys() == {"supported", "untested"}
    assert "needs 64 of both" in verdicts["untested"]


def test_without_the_library_the_claims_are_untested_and_say_what_to_run(suite, monkeypatch):
    save(suite.path / "shipped" / "whole")
    monkeypatch.setitem(sys.modules, "transformers", None)
    suite.runpytest_inprocess("--claims-results", "results.json")
    records = claims_of(suite)  # of this kind, and of the other, of which there is no checkpoint
    assert {record["verdict"] for record in records} == {"untested"}
    assert len([record for record in records if "pip install 'mechtests[hf]'" in record["reason"]]) == 1
