"""Right-hand sides without sympy: word for word what the package writes."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("odeformer")

import odeformer_canonical as canonical

from mechtests.systems.odeformer.package import OdeformerConfig, environment


@pytest.fixture(scope="module")
def package() -> Any:
    return environment(OdeformerConfig(emb_emb_dim=32, float_precision=3))


def words_of(package: Any, written: list[str | float]) -> list[str]:
    encoder = package.float_encoder
    return [
        word for each in written for word in (encoder.encode(np.array([each])) if isinstance(each, float) else [each])
    ]


@pytest.mark.parametrize("dimension", [1, 2])
def test_random_trees_are_written_as_the_package_writes_them(package: Any, dimension: int) -> None:
    rng = np.random.RandomState(dimension)
    compared = 0
    for _ in range(40):
        system, *_ = package.generator.generate_multi_dimensional_tree(rng=rng, dimension=dimension)
        for tree in system.nodes:
            ours = canonical.written(canonical.read(tree.prefix().split(",")))
            theirs = package.equation_encoder.encode(package.simplifier.simplify_tree(tree))
            assert words_of(package, ours) == theirs, tree.prefix()
            compared += 1
    assert compared == 40 * dimension


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("add,mul,-1.5,x_0,mul,0.5,x_0", ["mul", -1.0, "x_0"]),
        ("add,mul,-1.5,x_0,mul,2.5,pow2,x_0", ["add", "mul", 2.5, "pow", "x_0", "INT+", "2", "mul", -1.5, "x_0"]),
        ("add,mul,12.5,x_0,mul,2.5,x_1", ["add", "mul", 2.5, "x_1", "mul", 12.5, "x_0"]),
        ("sin,add,-1.25,mul,-2.5,x_0", ["mul", "INT-", "1", "sin", "add", 1.25, "mul", 2.5, "x_0"]),
        ("mul,2.0,add,1.5,mul,0.25,x_0", ["add", 3.0, "mul", 0.5, "x_0"]),
        ("mul,x_0,inv,x_0", ["INT+", "1"]),
        ("pow2,mul,3.0,x_0", ["mul", 9.0, "pow", "x_0", "INT+", "2"]),
        ("inv,add,1.5,mul,2.0,x_0", ["pow", "add", 1.5, "mul", 2.0, "x_0", "INT-", "1"]),
    ],
)
def test_rules_of_the_canonical_form(prefix: str, expected: list[str | float]) -> None:
    assert canonical.written(canonical.read(prefix.split(","))) == expected


def test_a_coefficient_that_vanishes_by_rounding_is_an_error() -> None:
    with pytest.raises(canonical.RoundedAwayError):
        canonical.written(canonical.read(["mul", "0.00004", "x_0"]))
    assert canonical.written_exactly(canonical.read(["mul", "0.00004", "x_0"])) == ["mul", 0.00004, "x_0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "x_0"], "found the end"),
        (["x_0", "x_0"], "more words after it"),
        (["cos", "x_0"], "could not convert"),
        (["pow", "x_0", "x_0"], "invalid literal"),
    ],
)
def test_words_that_are_no_expression_are_an_error(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        canonical.read(words)
