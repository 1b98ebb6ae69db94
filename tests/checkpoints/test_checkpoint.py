import hashlib
import itertools
import json
import os
import pickle
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mechtests import CheckpointError, checkpoints
from mechtests.checkpoints import Provenance, fill, read, save

PROVENANCE = Provenance("toy", {"width": 3}, "light", 4, 500, False, "abc123", {"sign_accuracy": 0.99})


def toy(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "toy.safetensors"
    save(file, toy(), PROVENANCE)
    return file


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


class TestRoundTrip:
    def test_weights_and_provenance_come_back(self, path):
        checkpoint, tensors = read(path)
        assert checkpoint.provenance == PROVENANCE
        assert checkpoint.name == "toy"
        assert checkpoint.path == path
        expected = toy().state_dict()
        assert tensors.keys() == expected.keys()
        assert all(tensors[name].equal(expected[name]) for name in expected)

    def test_the_sha256_is_that_of_the_file(self, path):
        assert read(path)[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_the_same_weights_and_provenance_give_the_same_file(self, path, tmp_path):
        save(tmp_path / "again.safetensors", toy(), PROVENANCE)
        assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()

    def test_other_weights_give_another_sha256(self, path):
        before = read(path)[0].sha256
        save(path, toy(seed=1), PROVENANCE)
        assert read(path)[0].sha256 != before

    def test_filling_makes_the_module_the_saved_one(self, path):
        module = toy(seed=1)
        fill(module, read(path)[1], path)
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
        assert module(x).equal(toy()(x))

    def test_folders_are_made_and_nothing_else_is_left(self, tmp_path):
        file = tmp_path / "runs" / "light" / "seed0.safetensors"
        save(file, toy(), PROVENANCE)
        assert list(file.parent.iterdir()) == [file]

    def test_weights_that_are_not_contiguous_can_be_saved(self, tmp_path):
        module = toy()
        module[0].weight = nn.Parameter(torch.arange(9.0).reshape(3, 3).T)
        save(tmp_path / "toy.safetensors", module, PROVENANCE)
        assert read(tmp_path / "toy.safetensors")[1]["0.weight"].equal(module[0].weight)

    @pytest.mark.parametrize("size", [0x0280, 0x0380, 0x0480, 0x0580])
    def test_a_header_of_any_length_can_be_read(self, size, tmp_path):
        # A safetensors file starts with the length of its header, which may spell the first bytes of a pickle.
        file = tmp_path / "toy.safetensors"
        save(file, toy(), Provenance("toy", {}))
        padding = size - int.from_bytes(file.read_bytes()[:8], "little")
        save(file, toy(), Provenance("toy", {}, recipe="x" * padding))
        assert int.from_bytes(file.read_bytes()[:8], "little") == size
        assert read(file)[0].provenance.recipe == "x" * padding


class TestSaving:
    def test_a_save_that_fails_leaves_the_former_file_and_no_other(self, path, monkeypatch):
        before = path.read_bytes()

        def full_disk(_tensors, file, metadata):
            Path(file).write_bytes(b"half a fi")
            raise OSError("No space left on device")

        monkeypatch.setattr(checkpoints.checkpoint, "save_file", full_disk)
        with pytest.raises(OSError, match="No space left"):
            save(path, toy(seed=1), PROVENANCE)
        assert path.read_bytes() == before
        assert list(path.parent.glob("*.safetensors")) == [path]

    def test_a_save_that_never_came_to_its_end_leaves_no_checkpoint(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("stopped here"))
        with pytest.raises(pytest.fail.Exception):
            save(tmp_path / "toy.safetensors", toy(), PROVENANCE)
        assert not (tmp_path / "toy.safetensors").exists()


class TestAFileThatIsWrittenWhileItIsRead:
    @pytest.fixture(params=["replaced", "overwritten in place"])
    def busy(self, path, request):
        """A checkpoint that another thread writes over and over, by those of two seeds in turn."""
        contents = []
        for seed in (0, 1):
            save(path, nn.Sequential(*(toy(seed + 2 * layer) for layer in range(20))), PROVENANCE)
            contents.append(path.read_bytes())
        other, stop = path.with_suffix(".new"), threading.Event()

        def write():
            for content in itertools.cycle(contents):
                if stop.is_set():
                    break
                if request.param == "replaced":
                    other.write_bytes(content)
                    os.replace(other, path)
                else:
                    with path.open("r+b") as file:
                        file.write(content)

        writer = threading.Thread(target=write)
        writer.start()
        yield path
        stop.set()
        writer.join()

    def test_its_weights_are_those_that_its_sha256_is_of(self, busy, tmp_path):
        # Weights and provenance state the whole file, so that what was read can be written again and compared.
        for _ in range(500):
            checkpoint, tensors = read(busy)
            module = nn.Sequential(*(toy() for _ in range(20)))
            fill(module, tensors, busy)
            save(tmp_path / "again.safetensors", module, checkpoint.provenance)
            assert hashlib.sha256((tmp_path / "again.safetensors").read_bytes()).hexdigest() == checkpoint.sha256


class TestUnusableFiles:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"none.safetensors: no such checkpoint.*training/"):
            read(tmp_path / "none.safetensors")

    def test_a_folder(self, tmp_path):
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            read(tmp_path)

    @pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99])
    def test_a_file_cut_short(self, path, share):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match=r"not a complete safetensors file.*truncated"):
            read(path)

    @pytest.mark.parametrize("missing", [1, 4])
    def test_a_file_without_its_last_bytes(self, path, missing):
        path.write_bytes(path.read_bytes()[:-missing])
        with pytest.raises(CheckpointError, match="truncated"):
            read(path)

    def test_a_file_with_bytes_after_its_end(self, path):
        path.write_bytes(path.read_bytes() + b"more")
        with pytest.raises(CheckpointError, match="not a complete safetensors file"):
            read(path)

    def test_another_kind_of_file(self, path):
        path.write_text("weights: see the other folder\n" * 10)
        with pytest.raises(CheckpointError, match="not a complete safetensors file"):
            read(path)

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
    def test_a_torch_save_file_is_refused_unread(self, tmp_path, zipped):
        file, proof = tmp_path / "toy.safetensors", tmp_path / "proof"
        torch.save({"state": toy().state_dict(), "more": Payload(proof)}, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=r"this is a pickle, which can run code.*Expected safetensors"):
            read(file)
        assert not proof.exists()

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_plain_pickle_is_refused_unread(self, tmp_path, protocol):
        file, proof = tmp_path / "toy.safetensors", tmp_path / "proof"
        file.write_bytes(pickle.dumps(Payload(proof), protocol))
        with pytest.raises(CheckpointError, match="pickle" if protocol >= 2 else "not a complete safetensors file"):
            read(file)
        assert not proof.exists()
        pickle.loads(file.read_bytes())
        assert proof.exists(), "the payload would have run"

    def test_a_file_without_provenance(self, path):
        save_file(toy().state_dict(), path)
        with pytest.raises(CheckpointError, match=r"no provenance in the header.*mechtests\.checkpoints\.save"):
            read(path)

    @pytest.mark.parametrize(
        "header",
        [
            {"schema": "mechtests-checkpoint/2", "system": "toy", "config": {}},
            {"system": "toy", "config": {}},
            {"schema": checkpoints.checkpoint.SCHEMA, "config": {}},
            {"schema": checkpoints.checkpoint.SCHEMA, "system": "toy"},
            {"schema": checkpoints.checkpoint.SCHEMA, "system": "toy", "config": {}, "colour": "blue"},
            ["not", "a", "header"],
            "toy",
            3,
            None,
        ],
        ids=["other schema", "no schema", "no system", "no config", "unknown", "list", "text", "number", "null"],
    )
    def test_provenance_of_another_form(self, path, header):
        save_file(toy().state_dict(), path, metadata={"mechtests": json.dumps(header)})
        with pytest.raises(
            CheckpointError, match=f"no provenance in the header.*Expected the form {checkpoints.checkpoint.SCHEMA}"
        ):
            read(path)

    def test_provenance_that_is_no_json(self, path):
        save_file(toy().state_dict(), path, metadata={"mechtests": "{half"})
        with pytest.raises(CheckpointError, match="no provenance in the header"):
            read(path)

    @pytest.mark.parametrize(
        "system",
        ["../runs/evil", "..", "/tmp/evil", "", "-pevil", "Toy", "toy\n", "to_y", "toy\x1b[2J", "x" * 65, 7, ["toy"]],
    )
    def test_a_name_of_a_system_that_could_be_a_path_or_an_option(self, path, system):
        header = {"schema": checkpoints.checkpoint.SCHEMA, "system": system, "config": {}}
        save_file(toy().state_dict(), path, metadata={"mechtests": json.dumps(header)})
        with pytest.raises(CheckpointError, match=r"header names the system .* Expected lower-case letters") as told:
            read(path)
        assert str(told.value).isprintable()

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_a_weight_that_is_no_finite_number(self, path, bad):
        module = toy()
        module[1].bias.data[1] = bad
        save(path, module, PROVENANCE)
        with pytest.raises(CheckpointError, match=r"weight 1\.bias holds NaN or infinite values"):
            read(path)


class TestFilling:
    def filled(self, change):
        tensors = toy().state_dict()
        change(tensors)
        fill(toy(), tensors, Path("toy.safetensors"))

    def test_a_weight_of_another_shape(self):
        with pytest.raises(
            CheckpointError, match=r"toy\.safetensors: wrong.*0\.weight: expected \(3, 3\), found \(9,\)"
        ):
            self.filled(lambda tensors: tensors.update({"0.weight": torch.zeros(9)}))

    def test_a_missing_weight(self):
        with pytest.raises(CheckpointError, match=r"Weight 1\.bias: expected \(2,\), found none"):
            self.filled(lambda tensors: tensors.pop("1.bias"))

    def test_a_weight_that_the_module_does_not_have(self):
        with pytest.raises(CheckpointError, match=r"Weight 2\.bias: expected none, found \(1,\)"):
            self.filled(lambda tensors: tensors.update({"2.bias": torch.zeros(1)}))

    def test_a_module_that_cannot_be_filled_keeps_its_weights(self):
        module, tensors = toy(seed=1), toy().state_dict()
        del tensors["1.bias"]
        with pytest.raises(CheckpointError):
            fill(module, tensors, Path("toy.safetensors"))
        assert module[0].weight.equal(toy(seed=1)[0].weight)
