"""The published file's form, made here: a ModelWrapper of the package, pickled whole by ``torch.save``."""

import os
import pickle
import sys
import zipfile
from dataclasses import asdict, replace

import pytest
import torch

from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError, read
from mechtests.checkpoints.restricted_pickle import InertFile
from mechtests.cli import main
from mechtests.families.ode import Logistic
from mechtests.systems import Odeformer
from mechtests.systems.odeformer.package import PUBLISHED, OdeformerConfig, build
from mechtests.systems.odeformer.published import ADDRESS, SIZE, import_published

pytest.importorskip("odeformer", reason="pip install --no-deps odeformer==0.1.7")

SMALL = OdeformerConfig(
    emb_emb_dim=8,
    enc_emb_dim=16,
    dec_emb_dim=16,
    n_enc_layers=1,
    n_dec_layers=1,
    n_enc_heads=2,
    n_dec_heads=2,
    smooth_start=False,
)


def saved(path, config=SMALL, **changes):
    torch.manual_seed(0)
    wrapper = build(config)
    params = wrapper.embedder.params
    for name, value in changes.items():
        setattr(params, name, value)
    torch.save(wrapper, path)
    for name in changes:
        setattr(params, name, "silu" if name == "activation" else False)
    return wrapper


def with_program(path, program, source=None):
    """A file of torch.save whose pickle is ``program``, with the tensors of ``source`` beside it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        if source:
            with zipfile.ZipFile(source) as other:
                for name in other.namelist():
                    if not name.endswith("data.pkl"):
                        archive.writestr(name, other.read(name))
    return path


def imported(path):
    return import_published(path, path.with_suffix(".safetensors"))


def test_a_model_of_the_published_size_is_imported_and_judged(tmp_path, capsys):
    source, target = tmp_path / "odeformer.pt", tmp_path / "published.safetensors"
    wrapper = saved(source, PUBLISHED)
    assert main(["import", "odeformer", str(source), "-o", str(target)]) == 0
    assert f"--checkpoint odeformer={target}" in capsys.readouterr().out
    checkpoint, tensors = read(target)
    expected = wrapper.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(tensors[name].equal(expected[name]) for name in expected)
    assert checkpoint.provenance.recipe == "published"
    assert checkpoint.provenance.config == asdict(PUBLISHED)
    odeformer = Odeformer.load(target, torch.device("cpu"), Cache())
    assert (len(odeformer.heads), len(odeformer.decoder_heads)) == (64, 192)
    odeformer.longest = 4
    curves = Logistic(points=12).sample(2, torch.Generator().manual_seed(0))
    assert len(odeformer.decode(curves)) == 2
    assert odeformer.encoder_attention(curves, weighting="value")[3].shape == (2, 16, 12, 12)
    ready = curves.rescaled()
    pairs = [list(zip(t, x, strict=True)) for t, x in zip(ready.times.numpy(), ready.states.numpy(), strict=True)]
    with torch.no_grad():
        embedded, counts = wrapper.embedder(pairs)
        encoded = wrapper.eval().encoder("fwd", x=embedded, lengths=counts, causal=False).transpose(0, 1)
    found = odeformer.activations(odeformer.tokens(curves), ["encoded"])["encoded"]
    torch.testing.assert_close(found, encoded, atol=1e-5, rtol=1e-5)


# Hostile files


class Calls:
    """What runs ``function(*arguments)`` when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "system": (Calls(os.system, "touch {proof}"), "posix.system|nt.system"),
    "eval": (Calls(eval, "open('{proof}', 'w')"), "_*builtin.*eval"),
    "import": (Calls(__import__, "antigravity"), "_*builtin.*__import__"),
    "modules": (Calls(sys.exit), "sys.exit"),
    "loader": (Calls(torch.load, "{proof}"), "torch.serialization.load"),
    "pickle": (Calls(pickle.loads, b"x"), ".*pickle.loads"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(tmp_path, kind, protocol, capsys):
    call, name = HOSTILE[kind]
    proof = tmp_path / "proof"
    arguments = [one.replace("{proof}", str(proof)) if isinstance(one, str) else one for one in call.call[1]]
    program = pickle.dumps({"weights": Calls(call.call[0], *arguments)}, protocol=protocol)
    path = with_program(tmp_path / "odeformer.pt", program)
    with pytest.raises(CheckpointError, match=f"refused. It asks for ({name}).*Nothing of it was run"):
        imported(path)
    assert main(["import", "odeformer", str(path)]) == 2
    assert "refused" in capsys.readouterr().err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["odeformer.pt"]


def test_allowed_names_do_nothing_either(tmp_path):
    """getattr is on the list, because bound methods are pickled by it; here it reaches for the interpreter."""
    program = pickle.dumps(Calls(getattr, Calls(getattr, [], "__class__"), "mro"), protocol=2)
    with pytest.raises(CheckpointError, match=r"expected a ModelWrapper.*found __builtin__.getattr"):
        imported(with_program(tmp_path / "odeformer.pt", program))
    # A dotted name would be looked up part by part.
    program = b"\x80\x04\x8c\x18odeformer.envs.encoders\x94\x8c\x09os.system\x94\x93\x94\x8c\x02ls\x94\x85\x94R."
    program = program.replace(b"\x8c\x18", b"\x8c\x17")
    with pytest.raises(CheckpointError, match=r"expected a ModelWrapper.*found odeformer.envs.encoders.os.system"):
        imported(with_program(tmp_path / "odeformer.pt", program))


def test_the_functions_that_may_be_called_cannot_be_changed(tmp_path):
    # BUILD with a pair of states sets attributes: here __code__ of what rebuilds tensors.
    program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x08\x00\x00\x00__code__X\x01\x00\x00\x00xstb."
    with pytest.raises(CheckpointError, match="a function's state is set"):
        imported(with_program(tmp_path / "odeformer.pt", program))


# Files of another kind


def test_files_that_are_none_of_torch_save_are_told_so(tmp_path):
    path = tmp_path / "odeformer.pt"
    with pytest.raises(CheckpointError, match="no such file"):
        imported(path)
    path.write_text("<html>Quota exceeded</html>")
    with pytest.raises(CheckpointError, match=r"not a file of torch.save.*the download was refused"):
        imported(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"")
    with pytest.raises(CheckpointError, match=r"expected one data.pkl"):
        imported(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/data.pkl", pickle.dumps({}))
        archive.writestr("script/constants.pkl", pickle.dumps(()))
    with pytest.raises(CheckpointError, match="no TorchScript"):
        imported(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"expected a ModelWrapper.*found dict"):
        imported(path)


def test_damaged_files_are_told_so(tmp_path):
    whole, path = tmp_path / "whole.pt", tmp_path / "odeformer.pt"
    saved(whole)
    path.write_bytes(whole.read_bytes()[: 3 * whole.stat().st_size // 4])
    with pytest.raises(CheckpointError, match=r"not a file of torch.save"):
        imported(path)
    with zipfile.ZipFile(whole) as archive:
        program = archive.read("whole/data.pkl")
    with pytest.raises(CheckpointError, match="cannot be read"):
        imported(with_program(path, program[:5000]))
    with pytest.raises(CheckpointError, match=r"part archive/data/0 is damaged"):
        imported(with_program(path, program))
    assert not path.with_suffix(".safetensors").exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "numbers.pt"
    torch.save(torch.arange(6.0).reshape(2, 3).T, path)
    file = InertFile(path, ["torch._utils._rebuild_tensor_v2"])
    assert file.tensor(file.root).equal(torch.arange(6.0).reshape(2, 3).T)
    for change in (
        {"offset": 1},
        {"offset": -1},
        {"shape": (3, 3)},
        {"stride": (1, 4)},
        {"count": 7},
        {"storage": "9"},
    ):
        with pytest.raises(CheckpointError, match="is damaged"):
            file.tensor(replace(file.root, **change))


def test_another_kind_of_odeformer_is_refused(tmp_path):
    path = tmp_path / "odeformer.pt"
    saved(path, activation="gelu")
    with pytest.raises(CheckpointError, match="activation is 'gelu', expected 'silu'"):
        imported(path)
    saved(path, use_two_hot=True)
    with pytest.raises(CheckpointError, match="use_two_hot is True, expected False"):
        imported(path)
    wrapper = build(SMALL)
    wrapper.decoder.id2word = {**wrapper.decoder.id2word, 20: "integral"}
    torch.save(wrapper, path)
    with pytest.raises(CheckpointError, match="the decoder's words are not those of the installed"):
        imported(path)
    wrapper = build(SMALL)
    with torch.no_grad():
        wrapper.encoder.ffns[0].lin1.bias[0] = torch.nan
    torch.save(wrapper, path)
    with pytest.raises(CheckpointError, match=r"weight encoder.ffns.0.lin1.bias holds NaN"):
        imported(path)
    assert not path.with_suffix(".safetensors").exists()


# Fetching


class Gdown:
    """In the place of gdown: puts a file there, or fails as gdown does."""

    def __init__(self, source=None, error=None):
        self.source, self.error, self.asked = source, error, []

    def download(self, address, output, quiet):
        self.asked.append(address)
        if self.error:
            raise self.error
        if self.source:
            with open(output, "wb") as file:
                file.write(self.source.read_bytes())
        return output if self.source else None


def test_fetching_tells_what_it_does_downloads_and_imports(tmp_path, monkeypatch, capsys):
    saved(tmp_path / "there.pt")
    gdown = Gdown(tmp_path / "there.pt")
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    target = tmp_path / "odeformer.safetensors"
    assert main(["fetch", "odeformer", "-o", str(target)]) == 0
    told = capsys.readouterr().out
    assert SIZE in told
    assert ADDRESS in told
    assert gdown.asked == [ADDRESS]
    assert read(target)[0].provenance.recipe == "published"
    assert main(["fetch", "odeformer", "-o", str(target)]) == 0
    assert "not downloaded again" in capsys.readouterr().out
    assert gdown.asked == [ADDRESS]


@pytest.mark.parametrize("gdown", [Gdown(), Gdown(error=OSError("Name or service not known"))], ids=["none", "error"])
def test_fetching_offline_fails_clearly(tmp_path, monkeypatch, capsys, gdown):
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    assert main(["fetch", "odeformer", "-o", str(tmp_path / "odeformer.safetensors")]) == 2
    told = capsys.readouterr().err
    assert "Is this machine online?" in told
    assert "mechtests import odeformer" in told
    assert not list(tmp_path.iterdir())


def test_without_gdown_the_command_to_get_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gdown", None)
    assert main(["fetch", "odeformer", "-o", str(tmp_path / "odeformer.safetensors")]) == 2
    assert "pip install gdown" in capsys.readouterr().err


def test_other_endings_are_refused(tmp_path, capsys):
    assert main(["import", "odeformer", "x.pt", "-o", str(tmp_path / "x.bin")]) == 2
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err
