import json

import pytest

from mechtests.cli import main
from mechtests.results.document import write_results
from tests import documents


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, documents.of_every_verdict())
    return path


def test_report_writes_a_page_and_names_it(results, tmp_path, capsys):
    assert main(["report", str(results), "-o", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page" / "index.html")
    assert "light-seed00" in (tmp_path / "page" / "index.html").read_text()


def test_report_takes_several_files(results, tmp_path):
    other = tmp_path / "other.json"
    write_results(other, documents.document(2, 2))
    assert main(["report", str(results), str(other), "-o", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "toy/weights" in page
    assert "toy-0/mechanism-0" in page


def broken(change):
    made = json.loads(json.dumps(documents.of_every_verdict()))
    change(made)
    return json.dumps(made)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a results file"),
        ("{", "not a results file"),
        ("[]", "not of the form mechtests/2"),
        ("null", "not of the form mechtests/2"),
        (broken(lambda made: made.update(schema="mechtests/3")), "mechtests/2"),
        (broken(lambda made: made["claims"][0].pop("verdict")), "verdict"),
        (broken(lambda made: made["claims"][0].update(verdict="true")), "verdict"),
        (broken(lambda made: made["claims"][0].update(trail=[[1, 2]])), "trail"),
        (broken(lambda made: made["claims"][0].update(estimate=float("nan"))), "NaN"),
    ],
)
def test_report_says_what_is_wrong_with_a_file(text, told, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(text)
    assert main(["report", str(path), "-o", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mechtests: {path}: ")
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "index.html").exists()


def test_report_says_that_there_is_no_file(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file" in capsys.readouterr().err


def test_report_takes_no_bytes_that_are_no_text(tmp_path, capsys):
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    assert main(["report", str(tmp_path / "results.json")]) == 2
    assert "not a results file" in capsys.readouterr().err


def test_report_says_where_it_cannot_write(results, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["report", str(results), "-o", str(tmp_path / "file")]) == 2
    assert "with -o" in capsys.readouterr().err


def test_report_needs_a_file(capsys):
    with pytest.raises(SystemExit):
        main(["report"])
    assert "RESULTS.json" in capsys.readouterr().err
