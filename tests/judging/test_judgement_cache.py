"""Judgements are kept from run to run, and only while nothing that they depend on has changed."""

import json
import textwrap

import pytest

CONFTEST = """
    import pytest
    import torch
    import mechtests as mt
    from mechtests.pytest_plugin.stash import MODELS

    @pytest.fixture(scope="session")
    def toy(request):
        module = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.constant_(module.weight, WEIGHT)
        return mt.System(module, "toy", cache=request.config.stash[MODELS].cache)
"""

CLAIM = """
    import pathlib
    import mechtests as mt
    from helper import measured

    @mt.claim("toy/weights/large", "The weights are large.", source=mt.Source("A post"), expect=mt.Value(above=1))
    def test_large(toy, evidence):
        with open("reports/log.txt", "a") as log:
            log.write("measured\\n")
        evidence.value(measured(toy))
"""

HELPER = """
    def measured(toy):
        return toy.module.weight.mean() + 0
"""


@pytest.fixture
def project(pytester):
    """A project with one claim, whose body writes a line to a log each time that it runs."""
    pytester.mkdir("reports")
    pytester.makeconftest(textwrap.dedent(CONFTEST).replace("WEIGHT", "5.0"))
    pytester.makepyfile(test_toy=textwrap.dedent(CLAIM), helper=textwrap.dedent(HELPER))
    return pytester


def run(project, *options):
    """The claim's record, and how often the body has run so far."""
    project.runpytest_inprocess(*options)
    (record,) = json.loads((project.path / "reports/latest/results.json").read_text())["claims"]
    log = project.path / "reports/log.txt"  # where tools write: what is read there says nothing of a claim
    return record, len(log.read_text().splitlines()) if log.exists() else 0


def test_what_has_not_changed_is_not_measured_again(project):
    first, measured = run(project)
    again, in_all = run(project)
    assert (measured, in_all) == (1, 1)
    assert first["verdict"] == "supported"
    assert again == first


def test_the_terminal_says_how_many_were_recalled(project):
    assert "judgements recalled" not in project.runpytest_inprocess().stdout.str()
    project.runpytest_inprocess().stdout.fnmatch_lines(["*forward passes: 0;*judgements recalled: 1*"])


@pytest.mark.parametrize(
    "option", ["--claims-seed=1", "--claims-alpha=0.01", "--claims-budget=64", "--no-claims-cache"]
)
def test_other_settings_measure_again(project, option):
    run(project)
    assert run(project, option)[1] == 2


def test_other_weights_measure_again(project):
    run(project)
    project.makeconftest(textwrap.dedent(CONFTEST).replace("WEIGHT", "0.5"))
    record, measured = run(project)
    assert (record["verdict"], measured) == ("refuted", 2)


def test_other_code_beside_the_claim_measures_again(project):
    run(project)
    project.makepyfile(helper=textwrap.dedent(HELPER).replace("+ 0", "- 10"))
    record, measured = run(project)
    assert (record["verdict"], record["estimate"], measured) == ("refuted", -5, 2)


def test_another_region_measures_again(project):
    run(project)
    project.makepyfile(test_toy=textwrap.dedent(CLAIM).replace("above=1", "above=9"))
    record, measured = run(project)
    assert (record["verdict"], measured) == ("refuted", 2)


def test_a_file_read_while_tests_are_collected_counts(project):
    (project.path / "bound.txt").write_text("1")
    project.makepyfile(
        helper="import pathlib\nADDED = float(pathlib.Path('bound.txt').read_text())\ndef measured(toy): return ADDED"
    )
    assert [run(project)[1], run(project)[1]] == [1, 1]
    (project.path / "bound.txt").write_text("22")
    record, measured = run(project)
    assert (record["estimate"], measured) == (22, 2)


def test_the_checkpoint_that_is_loaded_first_tells_nothing_of_the_claims_on_others(project):
    # Two processes as two workers are: each loads another checkpoint first, and finds what the other has kept.
    for weight in ("5", "6"):
        (project.path / f"{weight}.txt").write_text(weight)
    of_a_file = 'pathlib.Path(f"{request.param}.txt").read_text()'
    project.makeconftest(
        textwrap.dedent(CONFTEST)
        .replace("import pytest", "import pathlib\nimport pytest")
        .replace('scope="session"', 'scope="session", params=[5, 6]')
        .replace("WEIGHT", f"float({of_a_file})")
    )

    def measured(*options):
        result = project.runpytest_subprocess(*options)
        result.assert_outcomes(passed=1 if options else 2)
        return len((project.path / "reports/log.txt").read_text().splitlines())

    assert [measured(), measured("-k6"), measured("-k5")] == [2, 2, 2]


def test_what_reads_a_file_while_it_measures_is_not_kept(project):
    (project.path / "bound.txt").write_text("1")
    project.makepyfile(helper="import pathlib\ndef measured(toy): return float(pathlib.Path('bound.txt').read_text())")
    run(project)
    (project.path / "bound.txt").write_text("22")
    record, measured = run(project)
    assert (record["estimate"], measured) == (22, 2)


def test_what_loads_code_while_it_measures_is_not_kept(project):
    project.makepyfile(late="VALUE = 3", helper="def measured(toy):\n    import late\n    return late.VALUE")
    run(project)
    project.makepyfile(late="VALUE = 4")
    record, measured = run(project)
    assert (record["estimate"], measured) == (4, 2)


def test_what_takes_a_fixture_besides_the_system_is_not_kept(project):
    project.makepyfile(
        test_toy=textwrap.dedent(CLAIM).replace("(toy, evidence)", "(toy, tmp_path, evidence)"),
    )
    assert [run(project)[1], run(project)[1]] == [1, 2]


def test_a_counterexample_is_recalled_with_its_judgement(project):
    project.makepyfile(
        test_toy=textwrap.dedent("""
        import mechtests as mt

        @mt.claim("toy/sums/small", "Sums are small.", source=mt.Source("A post"), expect=mt.Rate(at_least=0.9))
        def test_small(toy, evidence):
            for point in evidence.batches(mt.Parameters(x=mt.Real(0, 10))):
                with open("reports/log.txt", "a") as log:
                    log.write("measured\\n")
                evidence.observe(point["x"] < 5)
        """)
    )
    first, measured = run(project)
    again, in_all = run(project)
    assert first["verdict"] == "refuted"
    assert first["counterexample"]["text"]
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert in_all == measured
