"""Claims judged by a call, without pytest."""

from html.parser import HTMLParser

import jsonschema
import pytest
import torch

import mechtests as mt
from mechtests.judging.judge import Judge, Settings
from mechtests.report.html import card_html
from mechtests.results.document import schema
from tests.coins import Coins

POST = mt.Source("A post")


def toy(weight=5.0):
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(weight)
    return mt.System(module, "toy")


@mt.claim("toy/weights/large", "The weights are large.", source=POST, expect=mt.Value(above=1), controls=[mt.untrained])
def weights_are_large(toy, evidence, factor=1.0):
    evidence.value(factor * toy.module.weight.mean())


@mt.claim("toy/coins/often", "Heads are frequent.", source=POST, expect=mt.Rate(at_least=0.5))
@pytest.mark.parametrize("rate", [0.4, 0.9])
def heads_are_frequent(toy, rate, evidence):
    for numbers in evidence.batches(Coins()):
        evidence.observe(numbers < rate)


@mt.claim("toy/weights/deep", "It is deep.", source=POST, expect=mt.Value(above=1))
def is_deep(toy, evidence):
    evidence.untested("there is one layer")


def test_the_verdict_is_that_of_the_judge():
    judged, system = mt.judge(heads_are_frequent, toy=toy(), rate=0.9, seed=3, budget=64), toy()
    claim = heads_are_frequent.__mechtests_claim__
    wanted = Judge(Settings(budget=64, seed=3)).judge(
        claim, heads_are_frequent, {"toy": system, "rate": 0.9}, {"rate": 0.9}
    )
    assert (judged.verdict, judged.estimate) == (wanted.verdict, wanted.estimate)
    assert judged.judgement.params == {"rate": "0.9"}


def test_a_default_may_be_replaced():
    assert mt.judge(weights_are_large, toy=toy()).verdict is mt.Verdict.SUPPORTED
    judged = mt.judge(weights_are_large, toy=toy(), factor=-1.0)
    assert (judged.verdict, judged.judgement.params) == (mt.Verdict.REFUTED, {"factor": "-1.0"})


def test_it_prints_as_three_lines():
    assert repr(mt.judge(weights_are_large, toy=toy())).splitlines() == [
        "SUPPORTED toy/weights/large [factor=1.0] on toy: The weights are large.",
        "observed 5 over 1 units; the claim's region is > 1",
        "untrained: more than all 19 draws",
    ]
    assert repr(mt.judge(is_deep, toy=toy())).splitlines() == [
        "UNTESTED toy/weights/deep on toy: It is deep.",
        "nothing was observed; the claim's region is > 1",
        "there is one layer",
    ]


def test_its_document_is_a_results_file():
    judged = mt.judge(heads_are_frequent, toy=toy(), rate=0.9)
    jsonschema.validate(judged.document, schema(), jsonschema.Draft202012Validator)


class Elements(HTMLParser):
    """The elements of some HTML, with their attributes as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_a_notebook_shows_its_card_in_a_small_frame():
    judged = mt.judge(heads_are_frequent, toy=toy(), rate=0.9)
    ((tag, attributes),) = Elements(shown := judged._repr_html_()).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == card_html(judged.document)
    assert "Heads are frequent." in attributes["srcdoc"]
    assert len(shown.encode()) <= 100_000


def test_a_notebook_shows_several_cards_whose_ids_do_not_meet():
    """Each is a document of its own: outside of the frames no element has an id, a class or a style sheet."""
    cards = [mt.judge(weights_are_large, toy=toy(), factor=factor)._repr_html_() for factor in (1.0, -1.0)]
    elements = Elements("".join(cards)).found
    assert [(tag, sorted(attributes)) for tag, attributes in elements] == [("iframe", ["srcdoc", "style"])] * 2
    assert elements[0][1]["srcdoc"] != elements[1][1]["srcdoc"]


@pytest.mark.parametrize(
    ("test", "arguments", "message"),
    [
        (weights_are_large, {}, "needs toy as well. Expected judge(weights_are_large, factor=…, toy=…)."),
        (heads_are_frequent, {"toy": None}, "needs rate as well"),
        (weights_are_large, {"toy": None, "head": 1}, "takes no argument head"),
        (toy, {}, "toy states no claim"),
    ],
    ids=["no-system", "no-parameter", "unknown-argument", "no-claim"],
)
def test_what_cannot_be_judged_is_refused(test, arguments, message):
    with pytest.raises(mt.ClaimError) as error:
        mt.judge(test, **arguments)
    assert message in str(error.value)
