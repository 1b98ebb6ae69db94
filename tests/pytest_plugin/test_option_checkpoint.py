"""``--checkpoint``: which checkpoints a run judges."""

import pytest
import torch
from safetensors.torch import save_file

from tests.suite import HEAD, ON_TINY, TINY_CONFTEST, USAGE_ERROR, claim_test, corrupt, outcomes, printed


def truncated(suite):
    path = suite.weights("bad")
    path.write_bytes(path.read_bytes()[:-3])
    return path


def pickled(suite):
    path = corrupt(suite)
    torch.save(torch.nn.Linear(2, 1).state_dict(), path)
    return path


def not_a_number(suite):
    return suite.weights("bad", bias=float("nan"))


def of_another_architecture(suite):
    return suite.weights("bad", inputs=3)


def without_provenance(suite):
    path = corrupt(suite)
    save_file(torch.nn.Linear(2, 1).state_dict(), path)
    return path


BAD = [
    (corrupt, "not a complete safetensors file"),
    (truncated, "not a complete safetensors file"),
    (pickled, "this is a pickle"),
    (not_a_number, "weight bias holds NaN"),
    (of_another_architecture, "wrong architecture. Weight weight: expected (1, 2), found (1, 3)"),
    (without_provenance, "no provenance in the header"),
]


class TestCheckpoints:
    @pytest.mark.parametrize(("make", "message"), BAD)
    def test_that_are_named_and_bad_stop_the_run_with_one_message(self, tiny, make, message):
        path = make(tiny)
        result = tiny.run(f"--checkpoint=tiny={path}")
        assert result.ret == USAGE_ERROR
        assert printed(result).count("ERROR") == printed(result).count(message) == 1
        assert str(path) in printed(result)
        assert "Traceback" not in printed(result)
        assert not tiny.results.exists()

    @pytest.mark.parametrize(("make", "message"), BAD)
    def test_that_are_found_and_bad_are_untested_and_hinder_no_other(self, tiny, make, message):
        make(tiny)
        tiny.weights("good")
        result = tiny.run()
        assert (outcomes(result), result.ret) == ({"passed": 1, "untested": 1}, 0)
        reasons = {claim["verdict"]: claim["reason"] for claim in tiny.document()["claims"]}
        assert reasons["supported"] is None
        assert message in reasons["untested"]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("raise KeyError('layers')", "the loader of tiny, load, raised KeyError: 'layers' (conftest.py:"),
            ("return None", "the loader of tiny, load, returned NoneType, not a System."),
        ],
    )
    def test_whose_loader_fails_are_unusable_too(self, tiny, line, message):
        conftest = TINY_CONFTEST.replace("    checkpoint, tensors = read(path)", f"    {line}")
        path = tiny.claims(conftest=conftest).weights("good")
        assert outcomes(tiny.run()) == {"untested": 1}
        (record,) = tiny.document()["claims"]
        assert message in record["reason"]
        result = tiny.run(f"--checkpoint=tiny={path}")
        assert result.ret == USAGE_ERROR
        assert printed(result).count(f"{path}: {message}") == 1
        assert "Traceback" not in printed(result)

    def test_that_are_missing_leave_claims_untested_with_the_command_to_get_one(self, tiny):
        result = tiny.run()
        assert (outcomes(result), result.ret) == ({"untested": 1}, 0)
        (record,) = tiny.document()["claims"]
        assert "no checkpoint of tiny" in record["reason"]
        assert "make weights" in record["reason"]

    def test_on_which_a_claim_cannot_be_judged_are_named_too(self, tiny):
        tiny.claims(
            claim_test("bias", "Value(above=0)", "pytest.skip('it has no head')", takes="tiny, evidence", of="tiny")
        )
        for name in ("seed0", "seed1"):
            tiny.weights(name)
        assert outcomes(tiny.run()) == {"untested": 2}
        records = tiny.document()["claims"]
        assert [record["checkpoint"]["name"] for record in records] == ["seed0", "seed1"]
        assert records[0]["checkpoint"]["sha256"] != records[1]["checkpoint"]["sha256"]

    def test_of_another_kind_are_judged_on_the_same_claims_and_untested_where_missing(self, tiny):
        more = "import mechtests\nmechtests.register_checkpoints('large', 'tiny', load, 'large/*', 'fetch large')"
        tiny.claims(ON_TINY, conftest=f"{TINY_CONFTEST}\n{more}\n")
        seed = tiny.weights("seed0", bias=1.0)
        result = tiny.run()
        assert outcomes(result) == {"passed": 1, "untested": 1}
        (reason,) = [claim["reason"] for claim in tiny.document()["claims"] if claim["verdict"] == "untested"]
        assert "no checkpoint of large" in reason
        assert "fetch large" in reason
        assert outcomes(tiny.run(f"--checkpoint=large={seed}")) == {"passed": 1}
        assert outcomes(tiny.run(f"--checkpoint=tiny={seed}")) == {"passed": 1}

    def test_are_each_judged_and_named(self, tiny):
        tiny.weights("seed0", bias=1.0)
        tiny.weights("seed1", bias=-1.0)
        result = tiny.run()
        assert outcomes(result) == {"passed": 1, "failed": 1}
        found = {claim["checkpoint"]["name"]: claim for claim in tiny.document()["claims"]}
        assert {name: claim["verdict"] for name, claim in found.items()} == {"seed0": "supported", "seed1": "refuted"}
        provenance = found["seed0"]["checkpoint"]
        assert (provenance["step"], provenance["seed"], provenance["recipe"]) == (7, 4, "by hand")
        assert found["seed0"]["params"] == {}
        assert len(provenance["sha256"]) == 64

    def test_named_by_a_glob_and_one_by_one_are_judged_once_each(self, tiny):
        for name in ("seed0", "seed1", "extra"):
            tiny.weights(name, bias=len(name))
        result = tiny.run("--checkpoint=tiny=weights/seed*.safetensors", "--checkpoint=tiny=weights/seed1.safetensors")
        assert outcomes(result) == {"passed": 2}
        result = tiny.run("--checkpoint=tiny=weights/seed1.safetensors", "--checkpoint=tiny=weights/extra.safetensors")
        assert outcomes(result) == {"passed": 2}
        names = {claim["checkpoint"]["name"] for claim in tiny.document()["claims"]}
        assert names == {"seed1", "extra"}

    def test_are_all_judged_on_a_claim_before_the_next_is_begun(self, tiny):
        sign = """
@claim("tiny/weights/sign", "It has this sign.", source=POST, expect=Value(at_least=0))
@pytest.mark.parametrize("factor", [1, -1])
def test_sign(tiny, factor, evidence):
    evidence.value(factor * tiny.module.bias.sum())
"""
        for name in ("seed0", "seed1"):
            tiny.weights(name)
        result = tiny.claims(ON_TINY, sign).run("--collect-only", "-q")
        tests = [line.rpartition("test_")[2] for line in result.outlines if "::" in line]
        names = [
            f"{test}[seed{seed}{end}]" for test, end in (("bias", ""), ("sign", "-1"), ("sign", "--1")) for seed in "01"
        ]
        assert tests == names

    def test_with_the_same_weights_keep_their_names(self, tiny):
        first = tiny.weights("first")
        (first.parent / "second.safetensors").write_bytes(first.read_bytes())
        tiny.run()
        assert {claim["checkpoint"]["name"] for claim in tiny.document()["claims"]} == {"first", "second"}

    @pytest.mark.parametrize("path", ["weights/none.safetensors", "none/*.safetensors"])
    def test_that_are_named_and_do_not_exist_stop_the_run(self, tiny, path):
        tiny.weights("good")
        result = tiny.run(f"--checkpoint=tiny={path}")
        assert result.ret == USAGE_ERROR
        assert f"--checkpoint tiny={path}: no such file" in printed(result)

    def test_of_an_unknown_system_stop_the_run_and_name_the_known_ones(self, tiny):
        result = tiny.run(f"--checkpoint=tinny={tiny.weights()}")
        assert result.ret == USAGE_ERROR
        assert "--checkpoint tinny=…: no such system. Known here:" in printed(result)
        assert "tiny" in printed(result).split("Known here:")[1]

    def test_may_be_named_for_a_system_in_a_folder_of_its_own(self, suite):
        folder = suite.path / "claims"
        folder.mkdir()  # pytest reads its conftest only on its way through the folders
        (folder / "conftest.py").write_text(TINY_CONFTEST.replace("tiny", "hidden"))
        (folder / "test_bias.py").write_text(HEAD + ON_TINY.replace("tiny", "hidden"))
        result = suite.run(f"--checkpoint=hidden={suite.weights()}")
        assert result.ret == 0
        assert outcomes(result) == {"passed": 1}

    def test_that_are_named_and_bad_stop_workers_too(self, tiny):
        result = tiny.run("-n2", f"--checkpoint=tiny={corrupt(tiny)}")
        assert result.ret == USAGE_ERROR
        assert printed(result).count("not a complete safetensors file") == 1
