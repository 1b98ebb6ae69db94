"""Directories as save_pretrained writes them: what comes back, and what is refused before any of it is used."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mechtests import CheckpointError
from mechtests.checkpoints import Provenance, save
from mechtests.checkpoints.huggingface import INDEX, read_pretrained

CONFIG = {"model_type": "toy", "hidden_size": 3}


@pytest.fixture
def folder(tmp_path):
    new = tmp_path / "Toy-1.5"
    new.mkdir()
    (new / "config.json").write_text(json.dumps(CONFIG))
    save_file({"weight": torch.ones(3)}, new / "model.safetensors", metadata={"format": "pt"})
    return new


@pytest.fixture
def sharded(folder):
    (folder / "model.safetensors").unlink()
    for number, name in enumerate(("first", "second")):
        save_file({name: torch.full((2,), float(number))}, folder / f"{name}.safetensors")
    point(folder, {"first": "first.safetensors", "second": "second.safetensors"})
    return folder


def point(folder, names):
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))


def refused(folder, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        read_pretrained(folder, "toy")
    assert str(folder) in str(caught.value)


class Payload:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


class TestRead:
    def test_the_sha256_is_of_the_configuration_that_is_used(self, folder, monkeypatch):
        known, loads = read_pretrained(folder, "toy").checkpoint.sha256, json.loads

        def replaced_meanwhile(content):
            (folder / "config.json").write_text(json.dumps({**CONFIG, "hidden_size": 4}))
            return loads(content)

        monkeypatch.setattr("mechtests.checkpoints.huggingface.json.loads", replaced_meanwhile)
        found = read_pretrained(folder, "toy")
        assert (found.config, found.checkpoint.sha256) == (CONFIG, known)

    def test_the_checkpoint_names_every_file_that_was_read(self, folder, sharded):
        (folder / "notes.json").write_text("{}")
        names = {path.name for path in read_pretrained(folder, "toy").checkpoint.files}
        assert names == {"config.json", INDEX, "first.safetensors", "second.safetensors"}

    def test_configuration_weights_and_name_come_back(self, folder):
        found = read_pretrained(folder, "toy")
        assert found.config == CONFIG
        assert found.tensors["weight"].equal(torch.ones(3))
        assert found.checkpoint.name == "Toy-1.5"
        assert found.checkpoint.provenance == Provenance("toy", {})

    def test_a_provenance_in_the_header_comes_back(self, folder):
        made = Provenance("toy", {}, "light", 3, 40, True, "abc", {"loss": 0.5})
        save(folder / "model.safetensors", torch.nn.Linear(2, 2), made)
        assert read_pretrained(folder, "toy").checkpoint.provenance == made

    def test_a_provenance_of_another_system(self, folder):
        save(folder / "model.safetensors", torch.nn.Linear(2, 2), Provenance("subtraction", {}))
        refused(folder, "holds a model of the system 'subtraction', expected 'toy'")

    def test_shards_are_put_together(self, sharded):
        found = read_pretrained(sharded, "toy")
        assert {name: one.tolist() for name, one in found.tensors.items()} == {"first": [0, 0], "second": [1, 1]}

    def test_the_sha256_tells_shards_with_other_weights(self, sharded):
        before = read_pretrained(sharded, "toy").checkpoint.sha256
        assert read_pretrained(sharded, "toy").checkpoint.sha256 == before
        save_file({"second": torch.zeros(2)}, sharded / "second.safetensors")
        assert read_pretrained(sharded, "toy").checkpoint.sha256 != before

    def test_a_directory_of_links_as_a_download_leaves_it(self, folder, tmp_path):
        linked = tmp_path / "snapshot"
        linked.mkdir()
        for file in folder.iterdir():
            (linked / file.name).symlink_to(file)
        assert read_pretrained(linked, "toy").tensors["weight"].equal(torch.ones(3))


class TestRefused:
    def test_no_directory(self, folder):
        refused(folder / "none", "expected a directory with config.json and model.safetensors")
        refused(folder / "model.safetensors", "expected a directory")

    def test_no_configuration(self, folder):
        (folder / "config.json").unlink()
        refused(folder, "no such file. Expected a directory as save_pretrained")

    @pytest.mark.parametrize("text", ["", "{half", "[1, 2]", "3", "[" * 100_000, "\udcff"], ids=range(6))
    def test_a_configuration_that_is_no_object(self, folder, text):
        (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
        refused(folder, "not a JSON object")

    def test_no_weights(self, folder):
        (folder / "model.safetensors").unlink()
        refused(folder, "no weights. Expected model.safetensors")

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
    def test_weights_that_are_pickles(self, folder, tmp_path, name):
        (folder / "model.safetensors").unlink()
        proof = tmp_path / "proof"
        (folder / name).write_bytes(pickle.dumps(Payload(proof)))
        refused(folder, f"its weights are pickles \\({name}\\).*Expected safetensors")
        assert not proof.exists()

    def test_a_pickle_that_calls_itself_safetensors(self, folder, tmp_path):
        proof = tmp_path / "proof"
        (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(proof)))
        refused(folder, "this is a pickle")
        assert not proof.exists()

    def test_a_file_cut_short(self, folder):
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-4])
        refused(folder, "not a complete safetensors file")

    def test_a_shard_that_is_missing(self, sharded):
        (sharded / "second.safetensors").unlink()
        refused(sharded, "second.safetensors is missing, one of 2 files")

    @pytest.mark.parametrize(
        "name", ["../other.safetensors", "/tmp/a.safetensors", "deep/er.safetensors", "a.bin", ".."]
    )
    def test_a_shard_elsewhere(self, sharded, name):
        save_file({"second": torch.ones(2)}, sharded.parent / "other.safetensors")
        point(sharded, {"first": "first.safetensors", "second": name})
        refused(sharded, "Expected .safetensors files beside it and nowhere else")

    @pytest.mark.parametrize("names", [None, {}, ["first.safetensors"], {"first": 3}], ids=str)
    def test_an_index_of_no_files(self, sharded, names):
        point(sharded, names)
        refused(sharded, "expected a weight_map")

    def test_a_weight_in_two_shards(self, sharded):
        save_file({"first": torch.ones(2), "second": torch.ones(2)}, sharded / "second.safetensors")
        refused(sharded, "weight first is in another file of this model too")
