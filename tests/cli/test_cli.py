import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch

from mechtests.cache import Disk
from mechtests.cli import SUBCOMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A repository of a user, in which the command is given."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(capsys):
    def ask(*words):
        code = main(words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return ask


def filled(folder, entries=3):
    disk = Disk(folder)
    for number in range(entries):
        disk.put(f"{number}", torch.zeros(256))
    return disk


def test_the_console_script_is_this_function():
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["mechtests"]
    module, _, name = script.partition(":")
    assert getattr(import_module(module), name) is main


def test_info_tells_where_it_is_and_what_it_holds(here, asked):
    disk = filled(here / ".mechtests_cache")
    for age, path in enumerate(sorted(disk.folder.rglob("*.safetensors"))):
        os.utime(path, (1_700_000_000 + age * 86_400,) * 2)
    code, told, _ = asked("cache", "info")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in told.splitlines())
    assert lines["folder"] == str(disk.folder)
    assert lines["entries"] == "3"
    assert lines["size"].endswith("KiB of 8.0 GiB")
    assert lines["used"].startswith("2023-11-1")
    assert lines["used"].split(" to ")[1].startswith("2023-11-1")


def test_info_of_a_cache_that_is_not_there_yet_counts_nothing_and_makes_nothing(here, asked):
    code, told, _ = asked("cache", "info")
    assert code == 0
    assert "entries  0" in told
    assert "size     0 B of 8.0 GiB" in told
    assert not (here / ".mechtests_cache").exists()


def test_the_folder_is_that_of_pytests_runs_here(here, asked, monkeypatch):
    (here / "pytest.ini").write_text("[pytest]\nclaims_cache_dir = kept\n")
    (here / "claims").mkdir()
    monkeypatch.chdir(here / "claims")
    assert f"folder   {here / 'kept'}\n" in asked("cache", "info")[1]


def test_another_folder_can_be_named(here, asked):
    filled(here / "other", 5)
    assert "entries  5" in asked("cache", "info", "--dir", "other")[1]


def test_clear_removes_all_that_it_holds_and_says_how_much(here, asked):
    disk = filled(here / ".mechtests_cache")
    code, told, _ = asked("cache", "clear")
    assert code == 0
    assert told.startswith("removed 3 entries, 3.")
    assert disk.survey().entries == 0
    assert disk.get("0") is None


@pytest.mark.parametrize("action", ["info", "clear"])
def test_a_folder_that_is_no_cache_is_refused_in_one_line_and_left_alone(here, asked, action):
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("")
    for folder, message in [
        ("mine", "contains other files than a mechtests cache"),
        ("pytest.ini", "expected a folder for the cache, found a file"),
        ("nowhere", "nowhere: no such folder. Leave --dir out"),
    ]:
        code, told, error = asked("cache", action, "--dir", folder)
        assert (code, told) == (2, "")
        assert error.startswith("mechtests: ")
        assert message in error
        assert error.count("\n") == 1
    assert (here / "mine" / "thesis.tex").exists()


def test_a_repository_in_which_pytest_does_not_start_is_told_in_one_line(here, asked):
    (here / "pytest.ini").write_text("[pytest\n")
    code, _, error = asked("cache", "info")
    assert code == 2
    assert error.startswith("mechtests: pytest does not start here")
    assert "--dir" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["cache"], ["nonsense"], ["cache", "nonsense"], ["cache", "info", "--wrong"]])
def test_words_that_make_no_sense_are_told_with_code_2(here, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "usage: mechtests" in capsys.readouterr().err


def test_every_subcommand_says_what_it_does(here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(add.__name__.removeprefix("add_") in told for add in SUBCOMMANDS)


def test_as_a_process_it_leaves_with_its_code(here):
    command = [sys.executable, "-c", "import sys; from mechtests.cli import main; sys.exit(main())", "cache"]
    run = subprocess.run([*command, "clear", "--dir=nowhere"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "mechtests: nowhere: no such folder. Leave --dir out for the cache of pytest's runs here.\n"
