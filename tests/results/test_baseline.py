import itertools
import json

import pytest

from mechtests.results.baseline import SCHEMA, Baseline, BaselineError


def record(verdict="supported", **changes):
    checkpoint = {"name": "seed0", "sha256": "a" * 64}
    return {
        "id": "toy/weights/sum",
        "params": {},
        "checkpoint": checkpoint,
        "verdict": verdict,
        "seconds": 2.0,
        **changes,
    }


def with_weights(sha256):
    return record(checkpoint={"name": "seed0", "sha256": sha256})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "baseline.json"


def test_no_file_is_an_empty_record(file):
    assert Baseline.read(file).recorded(record()) is None


def test_the_verdicts_on_a_claim_are_counted_over_its_parameters_and_checkpoints(file):
    baseline = Baseline.read(file)
    for verdict, changes in [
        ("refuted", {}),
        ("supported", {"params": {"head": "L0H1"}}),
        ("supported", {"params": {"head": "L0H1"}, "checkpoint": None}),
        ("vacuous", {"id": "toy/weights/sums"}),
    ]:
        baseline.update(record(verdict, **changes))
    assert baseline.counts("toy/weights/sum") == {"refuted": 1, "supported": 2}
    assert baseline.counts("toy/weights/none") == {}


def test_what_is_written_is_read_again(file):
    written = Baseline.read(file)
    written.update(record("refuted"))
    written.update(record("vacuous", params={"head": "L0H1"}))
    written.update(record("inconclusive", checkpoint=None))
    written.write()
    read = Baseline.read(file)
    assert read == written
    assert read.recorded(record()) == "refuted"
    assert read.recorded(record(params={"head": "L0H1"})) == "vacuous"
    assert read.recorded(record(params={"head": "L0H2"})) is None
    assert read.recorded(record(checkpoint=None)) == "inconclusive"
    assert [path.name for path in file.parent.iterdir()] == ["baseline.json"]


def test_the_file_does_not_depend_on_the_order_of_the_claims(file):
    contents = []
    for records in itertools.permutations([record(), record(params={"head": "L0H1"}), record(id="toy/weights/bias")]):
        baseline = Baseline(file)
        for one in records:
            baseline.update(one)
        baseline.write()
        contents.append(file.read_text())
    assert len(set(contents)) == 1


def test_a_verdict_belongs_to_the_weights_it_was_reached_on(file):
    baseline = Baseline(file)
    baseline.update(with_weights("a" * 64))
    assert baseline.recorded(with_weights("b" * 64)) is None
    baseline.update(with_weights("b" * 64) | {"verdict": "refuted"})
    assert baseline.recorded(with_weights("a" * 64)) == "supported"
    assert baseline.recorded(with_weights("b" * 64)) == "refuted"


def test_a_new_verdict_replaces_the_recorded_one(file):
    baseline = Baseline(file)
    baseline.update(record("refuted"))
    baseline.update(record("supported"))
    assert baseline.recorded(record()) == "supported"


def test_an_untested_claim_changes_nothing(file):
    baseline = Baseline(file)
    baseline.update(record("refuted"))
    baseline.update(record("untested"))
    assert baseline.recorded(record()) == "refuted"


def test_seconds_are_those_of_the_last_run_over_all_its_checkpoints(file):
    for taken in (5.0, 2.0):
        baseline = Baseline.read(file)
        baseline.update(with_weights("a" * 64) | {"seconds": taken})
        baseline.update(with_weights("b" * 64) | {"seconds": taken + 1})
        baseline.write()
    assert Baseline.read(file).seconds == {"toy/weights/sum": 5.0}


def test_a_record_without_seconds_is_read(file):
    file.parent.mkdir()
    file.write_text(json.dumps({"schema": SCHEMA, "verdicts": {}}))
    assert Baseline.read(file).seconds == {}


def test_parameters_are_told_apart_in_any_order(file):
    baseline = Baseline(file)
    baseline.update(record(params={"layer": "1", "head": "2"}))
    assert baseline.recorded(record(params={"head": "2", "layer": "1"})) == "supported"
    assert baseline.recorded(record(params={"head": "1", "layer": "2"})) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "verdicts",
        "[]",
        "null",
        "{}",
        json.dumps({"schema": "mechtests-baseline/0", "verdicts": {}}),
        json.dumps({"schema": SCHEMA}),
        json.dumps({"schema": SCHEMA, "verdicts": []}),
        json.dumps({"schema": SCHEMA, "verdicts": {"toy/weights/sum": "supported"}}),
        json.dumps({"schema": SCHEMA, "verdicts": {"toy/weights/sum": {"seed0@aaa": "splendid"}}}),
        json.dumps({"schema": SCHEMA, "verdicts": {"toy/weights/sum": {"seed0@aaa": None}}}),
    ],
)
def test_another_file_is_refused_with_what_to_do(tmp_path, content):
    file = tmp_path / "baseline.json"
    file.write_text(content)
    with pytest.raises(BaselineError, match=r"baseline\.json: not a record of verdicts.*--update-claims-baseline"):
        Baseline.read(file)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "baseline.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BaselineError, match="not a record of verdicts"):
        Baseline.read(tmp_path / "baseline.json")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(BaselineError):
        Baseline.read(tmp_path)
