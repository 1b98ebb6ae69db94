import pytest

from mechtests import Claim, ClaimError, Rate, Source, Value, claim
from mechtests.claiming.claim import claim_of
from mechtests.claiming.controls import untrained

SOURCE = Source("A post", "A. Author", 2024)


def stated(**changes):
    given = {"id": "toy/weights/positive", "statement": "They are.", "source": SOURCE, "expect": Value(above=0)}
    return Claim(**{**given, **changes})


class TestClaim:
    @pytest.mark.parametrize("bad", ["toy", "toy/weights", "Toy/weights/big", "toy/weights/a b", "a/b/c/d", "a//c", ""])
    def test_has_an_id_of_three_parts(self, bad):
        with pytest.raises(ClaimError, match="system/mechanism/claim"):
            stated(id=bad)

    def test_belongs_to_the_system_and_mechanism_of_its_id(self):
        assert (stated().system, stated().mechanism) == ("toy", "weights")

    @pytest.mark.parametrize("expect", [0.9, None, Rate, {"at_least": 0.9}])
    def test_has_an_expectation_that_could_fail(self, expect):
        with pytest.raises(ClaimError, match="nothing could refute"):
            stated(expect=expect)

    def test_gives_one_of_five_kinds_of_evidence(self):
        with pytest.raises(ClaimError, match=r"anecdotal.*correlational, causal, structural"):
            stated(evidence_kind="anecdotal")

    def test_has_controls_that_are_controls(self):
        with pytest.raises(ClaimError, match=r"unknown control 'untrained'.*mechtests\.untrained"):
            stated(controls=(untrained, "untrained"))

    def test_takes_a_list_of_controls_and_says_so(self):
        with pytest.raises(ClaimError, match="controls"):
            claim("toy/weights/positive", "They are.", source=SOURCE, expect=Value(above=0), controls=untrained)

    def test_has_published_what_can_be_printed(self):
        with pytest.raises(ClaimError, match="published"):
            stated(published=[0.9, 1.0])

    def test_is_attached_to_a_function_that_stays_itself(self):
        def body(toy, evidence):
            return None

        decorate = claim("toy/weights/positive", "They are.", source=SOURCE, expect=Value(above=0), kind="structural")
        assert decorate(body) is body
        assert claim_of(body) == stated(evidence_kind="structural")
        assert claim_of(lambda: None) is None


def test_a_source_names_the_section():
    assert str(SOURCE) == "A post"
    assert str(SOURCE.section("Biases")) == "A post, “Biases”"
    assert SOURCE.at == ""


def test_a_claim_requires_what_it_can_ask():
    def able(system): ...

    def made(**given):
        return claim_of(claim("toy/weights/sum", "It is.", source=SOURCE, expect=Value(above=0), **given)(lambda: None))

    assert made(requires=able).requires == made(requires=[able]).requires == (able,)
    assert made().requires == ()
    with pytest.raises(ClaimError, match="requires='accuracy'"):
        made(requires=["accuracy"])
