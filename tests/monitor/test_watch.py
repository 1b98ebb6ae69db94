"""``mechtests watch``: judging each checkpoint of a folder once, with a judge that these tests stand in for."""

import json
import os

import pytest
import torch

from mechtests import watch as watching
from mechtests.checkpoints import Provenance, save
from mechtests.cli import main
from mechtests.monitor.verify import RESULTS, Run, Verified, VerifyError
from mechtests.monitor.watch import Watch, WatchError, unfinished
from mechtests.results.comparison import compare
from mechtests.results.record import results_document, write_results
from mechtests.results.side import side_of
from tests import documents


def weights(path, bias=1.0, system="toy"):
    module = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(module.bias, bias)
    torch.nn.init.zeros_(module.weight)
    save(path, module, Provenance(system, {"inputs": 2}))
    return path


@pytest.fixture
def judged(monkeypatch):
    """The names of what was judged; a checkpoint's claim is supported where its bias is positive."""
    names = []

    def verify(named, folder, run, baseline=None):
        (path,) = map(watching.Path, named)
        checkpoint, tensors = watching.read(path)
        names.append(path.stem)
        if tensors["bias"] == 13:
            raise VerifyError("pytest ended with code 4")
        system = checkpoint.provenance.system
        claim = json.loads(json.dumps(documents.of_every_verdict()["claims"][-1]))
        claim |= {"id": f"{system}/weights/bias", "system": system, "estimate": float(tensors["bias"])}
        claim["checkpoint"] = {**documents.checkpoint(name=path.stem), "sha256": checkpoint.sha256}
        claim["verdict"] = "supported" if tensors["bias"] > 0 else "refuted"
        document = results_document(documents.RUN, [claim])
        write_results(folder / RESULTS, document)
        return Verified(folder, document, baseline and compare(baseline, side_of(document, path.stem)))

    monkeypatch.setattr(watching, "verify", verify)
    return names


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def watch(tmp_path, folder):
    """A watch that has just been started, each time it is asked for."""
    told = []

    def started(**options):
        one = Watch(folder, tmp_path / "out", Run(), tell=told.append, **options)
        one.told = told
        return one

    return started


class TestEach:
    def test_is_judged_once_by_its_content_and_over_restarts(self, watch, folder, judged):
        first = watch()
        weights(folder / "a.safetensors", 1)
        weights(folder / "deep" / "b.safetensors", 2)
        assert len(first.look()) == 2
        assert first.look() == []
        weights(folder / "copy.safetensors", 1)
        assert first.look() == []
        again = watch()
        assert again.look() == []
        assert judged == ["a", "b"]
        weights(folder / "a.safetensors", 3)  # the same name, other content
        assert len(again.look()) == 1
        assert judged == ["a", "b", "a"]

    def test_is_judged_in_the_order_of_writing(self, watch, folder, judged):
        for seconds, name in ((30, "a"), (10, "b"), (20, "c")):
            os.utime(weights(folder / f"{name}.safetensors", seconds), (seconds, seconds))
        watch().look()
        assert judged == ["b", "c", "a"]

    def test_has_a_folder_of_its_own(self, watch, folder, judged, tmp_path):
        weights(folder / "step 1;x.safetensors", 1)
        (verified,) = watch().look()
        assert verified.folder.parent == tmp_path / "out"
        assert verified.folder.name.startswith("step_1_x-")

    def test_is_compared_with_the_one_before_it_of_its_system(self, watch, folder, judged):
        for seconds, (system, bias) in enumerate([("toy", 1), ("other", 5), ("toy", 2), ("toy", -1), ("other", 6)]):
            os.utime(weights(folder / f"{seconds}.safetensors", bias, system), (seconds, seconds))
        found = watch().look()
        assert [verified.comparison and verified.comparison.before for verified in found] == [None, None, "0", "2", "1"]
        assert [verified.regressed for verified in found] == [False, False, False, True, False]

    def test_is_compared_with_the_one_before_it_after_a_restart(self, watch, folder, judged):
        weights(folder / "a.safetensors", 1)
        watch().look()
        weights(folder / "b.safetensors", -1)
        assert [verified.regressed for verified in watch().look()] == [True]

    def test_is_compared_with_the_baseline_where_there_is_one(self, watch, folder, judged):
        for seconds, bias in enumerate((1, -1, -2)):
            os.utime(weights(folder / f"{seconds}.safetensors", bias), (seconds, seconds))
        first = watch().look()[0]
        (folder.parent / "out" / "watched.json").unlink()
        found = watch(baseline=side_of(first.document, "good")).look()
        assert [verified.regressed for verified in found] == [False, True, True]

    def test_that_cannot_be_judged_is_told_once_and_tried_again_after_a_restart(self, watch, folder, judged):
        weights(folder / "a.safetensors", 13)
        (folder / "b.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")  # whole, without provenance
        one = watch()
        assert one.look() == one.look() == []
        assert [line for line in one.told if "not judged" in line] == [
            f"{folder}/a.safetensors: not judged: pytest ended with code 4",
            next(line for line in one.told if "no provenance" in line),
        ]
        watch().look()
        assert judged == ["a", "a"]

    def test_that_is_replaced_while_it_is_judged_is_judged_again(self, watch, folder, judged, monkeypatch):
        path = weights(folder / "a.safetensors", 1)
        verify = watching.verify

        def replaced_meanwhile(*arguments):
            weights(path, 2)
            return verify(*arguments)

        one = watch()
        monkeypatch.setattr(watching, "verify", replaced_meanwhile)
        assert one.look() == []
        monkeypatch.setattr(watching, "verify", verify)
        assert len(one.look()) == 1
        assert one.look() == []


class TestUnfinished:
    def test_files_wait_until_they_are_whole(self, watch, folder, judged, tmp_path):
        whole = weights(tmp_path / "whole.safetensors").read_bytes()
        path, one = folder / "a.safetensors", watch()
        for length in (0, 4, 8, 20, len(whole) - 1):
            path.write_bytes(whole[:length])
            assert one.look() == []
            assert one.look() == []
        assert judged == []
        assert [f"{len(whole) - 1} of {len(whole)} bytes" in line for line in one.told] == [False] * 4 + [True]
        path.write_bytes(whole)
        assert len(one.look()) == 1

    def test_files_are_told_from_whole_ones_at_every_length(self, tmp_path):
        whole = weights(tmp_path / "whole.safetensors").read_bytes()
        path = tmp_path / "part.safetensors"
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert unfinished(path), length
        path.write_bytes(whole)
        assert unfinished(path) is None
        path.write_bytes(whole + b"more")
        assert unfinished(path)

    @pytest.mark.parametrize(
        "content", [b"\xff" * 64, b"\x00" * 64, b"\x08" + b"\x00" * 7 + b"[1, 2]  ", b"text " * 50]
    )
    def test_files_may_hold_anything(self, tmp_path, content):
        (tmp_path / "x.safetensors").write_bytes(content)
        assert unfinished(tmp_path / "x.safetensors")

    def test_a_file_that_is_gone_or_a_folder_is_not_whole(self, tmp_path):
        (tmp_path / "x.safetensors").mkdir()
        assert unfinished(tmp_path / "x.safetensors")
        assert unfinished(tmp_path / "none.safetensors")


class TestMemory:
    @pytest.mark.parametrize(
        "content", ["", "[]", "null", '{"schema": "mechtests-watch/9"}', '{"schema": "mechtests-watch/1"}']
    )
    def test_that_cannot_be_read_is_told(self, watch, tmp_path, content):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "watched.json").write_text(content)
        with pytest.raises(WatchError, match="Delete it to judge every checkpoint again"):
            watch()

    def test_of_a_report_that_is_gone_leaves_nothing_to_compare_with(self, watch, folder, judged):
        weights(folder / "a.safetensors", 1)
        (verified,) = watch().look()
        (verified.folder / RESULTS).unlink()
        weights(folder / "b.safetensors", 2)
        one = watch()
        assert [verified.comparison for verified in one.look()] == [None]
        assert "Nothing to compare with" in one.told[-1]


class TestCommand:
    def test_tells_what_it_judged_and_a_regression_by_1(self, folder, judged, tmp_path, capsys):
        words = ["watch", str(folder), "-o", str(tmp_path / "out"), "--once"]
        weights(folder / "a.safetensors", 1)
        assert main(words) == 0
        assert "index.html: nothing to compare with yet" in capsys.readouterr().out
        weights(folder / "b.safetensors", -1)
        assert main(words) == 1
        assert (
            "index.html: 1 regression; 1 estimate moved by more than the intervals allow since a"
            in capsys.readouterr().out
        )
        assert main(words) == 0
        assert capsys.readouterr().out == ""

    def test_goes_on_until_it_is_interrupted(self, folder, judged, tmp_path, monkeypatch):
        looks = []

        def sleep(seconds):
            looks.append(seconds)
            weights(folder / f"{len(looks)}.safetensors", len(looks))
            if len(looks) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr("time.sleep", sleep)
        assert main(["watch", str(folder), "-o", str(tmp_path / "out"), "--every", "0.5"]) == 0
        assert (looks, judged) == ([0.5] * 3, ["1", "2"])

    def test_says_what_is_wrong_in_one_line(self, folder, tmp_path, capsys):
        for words, said in [
            ([str(tmp_path / "none")], "none: no such folder"),
            ([str(folder), "--every", "0"], "expected seconds, more than 0"),
            ([str(folder), "--baseline", "none.json"], "none.json: no such file"),
        ]:
            assert main(["watch", *words]) == 2
            error = capsys.readouterr().err
            assert said in error
            assert error.count("\n") == 1
