"""Judgements are kept from run to run, and only while nothing that they depend on has changed."""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import venv
import zipfile
from contextlib import closing

import pytest

CONFTEST = """
    import pytest
    import torch
    import mechtests as mt
    from mechtests.pytest_plugin.session import SESSION

    @pytest.fixture(scope="session")
    def toy(request):
        module = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.constant_(module.weight, WEIGHT)
        return mt.System(module, "toy", cache=request.config.stash[SESSION].cache)
"""

LOADER = """
    import torch
    import mechtests as mt

    def load(path, device, cache):
        module = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.constant_(module.weight, float(path.read_text()))
        return mt.System(module, "toy", cache=cache)

    toy = mt.system_fixture("toy", load, "*.weight", "write one")
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
        (project.path / f"{weight}.weight").write_text(weight)
    project.makeconftest(textwrap.dedent(LOADER))

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


def test_functions_of_one_name_have_a_judgement_each(project):
    """A run judges one of them, which an option names: together they are refused, for their texts are the same."""
    for name, value in (("first", 3), ("second", -3)):
        project.makepyfile(**{name: f"def pick(): return {value}"})
    choice = """
        import first, second

        def pytest_addoption(parser):
            parser.addoption("--how")

        def pytest_generate_tests(metafunc):
            chosen = {"first": first.pick, "second": second.pick}[metafunc.config.getoption("how")]
            metafunc.parametrize("how", [chosen])
    """
    project.makeconftest(textwrap.dedent(CONFTEST).replace("WEIGHT", "5.0") + textwrap.dedent(choice))
    test = textwrap.dedent(CLAIM).replace("(toy, evidence)", "(toy, how, evidence)").replace("measured(toy)", "how()")
    project.makepyfile(test_toy=test)

    def judged(how):
        record, measured = run(project, f"--how={how}")
        return record["params"], record["estimate"], measured

    assert judged("first") == ({"how": "pick"}, 3, 1)
    assert judged("second") == ({"how": "pick"}, -3, 2)
    assert judged("first") == ({"how": "pick"}, 3, 2)
    assert judged("second") == ({"how": "pick"}, -3, 2)


WAYS = {
    "bytes path": ("with open(b'bound.txt') as file: X = float(file.read())", "X"),
    "relative path before chdir": (
        "import os, pathlib\nos.makedirs('deep', exist_ok=True)\nos.chdir('deep')\n"
        "TEXT = pathlib.Path('../bound.txt').read_text()\nos.chdir('..')",
        "float(TEXT)",
    ),
    "a folder called reports": ("import pathlib\nTEXT = pathlib.Path('reports/bound.txt').read_text()", "float(TEXT)"),
    "exec of a .py": ("import pathlib\nSCOPE = {}\nexec(pathlib.Path('bound.py').read_text(), SCOPE)", "SCOPE['X']"),
    "runpy": ("import runpy\nX = runpy.run_path('bound.py')['X']", "X"),
    "bare spec": (
        "from importlib import util\nspec = util.spec_from_file_location('bare', 'bound.py')\n"
        "bare = util.module_from_spec(spec)\nspec.loader.exec_module(bare)",
        "bare.X",
    ),
    "pkgutil": ("import pkgutil\nTEXT = pkgutil.get_data('helper', 'bound.txt')", "float(TEXT)"),
    "SQLite": (
        "import sqlite3\nX, = sqlite3.connect('bound.db').execute('select x from t').fetchone()",
        "X",
    ),
    "a subprocess": ("import subprocess\nX = float(subprocess.check_output(['cat', 'bound.txt']))", "X"),
    "the environment": ("import os", "float(os.environ['BOUND'])"),
    "a file that is not there at first": (
        "import pathlib\ntry: X = float(pathlib.Path('later.txt').read_text())\nexcept OSError: X = 1",
        "X",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_way_a_number_comes_in_another_one_measures_again(project, way, monkeypatch):
    before, expression = WAYS[way]
    project.makepyfile(helper=f"{before}\ndef measured(toy): return {expression}")

    def bound(number, first=False):
        for name in ("bound.txt", "reports/bound.txt", *(() if first else ("later.txt",))):
            (project.path / name).write_text(number)
            os.utime(project.path / name, (1e9, 1e9))  # the same size and time
        (project.path / "bound.py").write_text(f"X = {number}")
        os.utime(project.path / "bound.py", (1e9, 1e9))
        (project.path / "bound.db").unlink(missing_ok=True)
        with closing(sqlite3.connect(project.path / "bound.db")) as base:
            base.execute("create table t (x)")
            base.execute("insert into t values (?)", (float(number),))
            base.commit()
        monkeypatch.setenv("BOUND", number)

    bound("1", first=True)
    assert run(project)[0]["estimate"] == 1
    bound("2")
    assert run(project)[0]["estimate"] == 2


def test_a_side_file_that_a_loader_reads_makes_another_model(project):
    (project.path / "a.weight").write_text("5")
    (project.path / "scale.txt").write_text("1")
    loader = textwrap.dedent(LOADER).replace("import torch", "import pathlib, torch", 1)
    loader = loader.replace(
        'return mt.System(module, "toy", cache=cache)',
        'system = mt.System(module, "toy", cache=cache)\n'
        '    system.scale = float(pathlib.Path("scale.txt").read_text())\n    return system',
    )
    project.makeconftest(loader)
    project.makepyfile(helper="def measured(toy): return toy.scale")
    assert [run(project)[1], run(project)[1]] == [1, 1]
    (project.path / "scale.txt").write_text("3")
    record, measured = run(project)
    assert (record["estimate"], measured) == (3, 2)


def test_a_package_that_a_loader_imports_first_makes_no_other_model(project):
    (project.path / "a.weight").write_text("5")
    with zipfile.ZipFile(project.path / "packages.zip", "w") as packages:
        packages.writestr("heavy.py", "")
    conftest = "import sys\nsys.path.append('packages.zip')\n{early}\n" + textwrap.dedent(LOADER)
    conftest = conftest.replace("    module = torch", "    import heavy\n    module = torch", 1)
    sha256s = set()
    for early in ("import heavy", ""):
        project.makeconftest(conftest.replace("{early}", early))
        record, _ = run(project)
        sha256s.add(record["checkpoint"]["sha256"])
    assert len(sha256s) == 1


def test_a_helper_that_is_saved_while_tests_are_collected_counts_as_it_ran(project):
    project.makepyfile(helper="VALUE = 5\ndef measured(toy): return VALUE")
    saved = "import helper, pathlib\npathlib.Path(helper.__file__).write_text('def measured(toy): return -5')"
    project.makepyfile(test_toy=textwrap.dedent(CLAIM) + saved)
    assert run(project)[0]["estimate"] == 5
    assert run(project)[0]["estimate"] == -5


def test_a_virtual_environment_in_the_root_of_the_project_hides_no_code(project):
    venv.create(project.path, with_pip=False)
    path = os.pathsep.join(one for one in sys.path if os.path.isdir(one))

    def estimate():
        python = project.path / ("Scripts" if os.name == "nt" else "bin") / "python"
        words = [python, "-m", "pytest", "-p", "no:cacheprovider"]
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(words, cwd=project.path, env=env, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stdout
        (claim,) = json.loads((project.path / "reports/latest/results.json").read_text())["claims"]
        return claim["estimate"]

    assert estimate() == 5
    project.makepyfile(test_toy=textwrap.dedent(CLAIM).replace("measured(toy)", "-measured(toy)"))
    assert estimate() == -5
