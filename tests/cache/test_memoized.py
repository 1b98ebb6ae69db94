import importlib.util
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechtests import System, memoized
from mechtests.cache import Cache, Disk


@dataclass(frozen=True, eq=False)
class Fit:
    slopes: Tensor
    spread: Tensor
    both: Tensor = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "both", torch.cat([self.slopes, self.spread]))


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


RUNS = []


@memoized
def shape_of(system: System) -> Float[Tensor, " weight"]:
    RUNS.append("shape")
    return system.module.weight.sum(0).float()


@memoized
def plain(system: System) -> Tensor:
    RUNS.append("plain")
    return torch.arange(12.0).reshape(3, 4).T


@memoized
def part_of_a_larger(system: System) -> Tensor:
    return torch.arange(1000.0).reshape(100, 10)[:3, ::2]


@memoized
def fit(system: System) -> Fit:
    RUNS.append("fit")
    return Fit(torch.ones(2), torch.zeros(3))


@memoized
def pair(system: System) -> Pair:
    RUNS.append("pair")
    return Pair(torch.ones(2), torch.zeros(3))


@memoized
def couple(system: System) -> "tuple[Tensor, Tensor]":
    RUNS.append("couple")
    return torch.ones(2), torch.zeros(3)


@dataclass(frozen=True, eq=False)
class Inputs:
    points: Tensor
    scales: dict[str, Tensor] = field(default_factory=dict)
    nested: "Inputs | None" = None


@memoized
def on_inputs(system: System, inputs: object) -> Tensor:
    RUNS.append(inputs)
    return torch.full((2,), float(len(RUNS)))


@pytest.fixture(autouse=True)
def runs():
    RUNS.clear()
    return RUNS


def system_with(cache, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return System(nn.Linear(4, 4, **options), "toy", cache=cache)


def parts(result):
    if isinstance(result, Tensor):
        return [result]
    return list(result) if isinstance(result, tuple) else [result.slopes, result.spread, result.both]


@pytest.mark.parametrize("function", [shape_of, plain, fit, pair, couple])
def test_is_worked_out_once_for_all_runs_and_is_the_same_bit_for_bit(tmp_path, runs, function):
    results = [
        function(system_with(Cache(budget, disk=Disk(tmp_path / "cache")))) for budget in (1 << 20, 0) for _ in range(2)
    ]
    assert len(runs) == 1
    for result in results:
        assert type(result) is type(results[0])
        for one, first in zip(parts(result), parts(results[0]), strict=True):
            assert one.equal(first)
            assert one.stride() == first.stride()


def inputs_like(entry=0.0, scale=1.0, depth=0.0):
    nested = Inputs(torch.tensor([depth]))
    return Inputs(torch.tensor([entry, 1.0]), {"time": torch.tensor([scale])}, nested)


def test_on_equal_inputs_is_worked_out_once_for_all_runs(tmp_path, runs):
    caches = [Cache(disk=Disk(tmp_path / "cache")) for _ in range(2)]
    results = [on_inputs(system_with(cache), inputs_like()) for cache in caches for _ in range(2)]
    assert [result.tolist() for result in results] == [[1, 1]] * 4
    assert on_inputs(system_with(caches[1]), inputs=inputs_like()).tolist() == [1, 1]


@pytest.mark.parametrize(
    "others",
    [
        [inputs_like(entry=0.5), inputs_like(scale=2.0), inputs_like(depth=1.0), inputs_like().nested],
        ["discovery", "evaluation", 1, 1.0, True, [1], (1,)],
        [torch.zeros(2), torch.zeros(2, dtype=torch.float64), torch.zeros(2, 1), [torch.zeros(2)]],
    ],
    ids=["dataclasses", "plain values", "tensors"],
)
def test_each_value_of_the_inputs_has_a_result_of_its_own(runs, others):
    cache = Cache()
    found = {on_inputs(system_with(cache), one)[0].item() for one in [inputs_like(), *others] * 2}
    assert len(found) == len(runs) == len(others) + 1


def test_inputs_that_cannot_be_told_apart_are_refused():
    with pytest.raises(TypeError, match="no digest of a object"):
        on_inputs(system_with(Cache()), Inputs(torch.zeros(1), {"what": object()}))


def test_without_a_disk_is_worked_out_once_a_cache(runs):
    cache = Cache()
    first, again = fit(system_with(cache)), fit(system_with(cache))
    assert first.slopes is again.slopes
    fit(system_with(Cache()))
    assert len(runs) == 2


def test_where_nothing_is_kept_is_worked_out_every_time(runs):
    for _ in range(2):
        assert pair(system_with(Cache(0))).first.tolist() == [1, 1]
    assert len(runs) == 2


def test_what_is_first_worked_out_has_the_strides_that_are_found_later():
    cache = Cache()
    strides = {part_of_a_larger(system_with(one)).stride() for one in (cache, cache, Cache(0))}
    assert len(strides) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda cache: system_with(cache, seed=1),
        lambda cache: system_with(cache).untrained(3),
        lambda cache: system_with(cache).shuffled(3),
        lambda cache: system_with(cache, dtype=torch.float64),
        lambda cache: type("Mine", (System,), {})(system_with(cache).module, "toy", cache=cache),
    ],
    ids=["weights", "untrained", "shuffled", "dtype", "class without a file"],
)
def test_another_system_has_a_result_of_its_own(runs, other):
    cache = Cache()
    shape_of(system_with(cache))
    system = other(cache)
    assert shape_of(system).equal(shape_of.__wrapped__(system))
    assert len(runs) == 3


def test_weights_cast_in_the_same_module_have_a_result_of_their_own(runs):
    cache = Cache()
    first = System(nn.Linear(4, 4), "toy", identity="the same", cache=cache)
    second = System(nn.Linear(4, 4).double(), "toy", identity="the same", cache=cache)
    shape_of(first)
    shape_of(second)
    assert len(runs) == 2


def test_two_functions_of_one_name_in_two_modules_never_share(tmp_path):
    cache = Cache(disk=Disk(tmp_path / "cache"))
    found = [load(tmp_path / name, value)(system_with(cache)).item() for name, value in [("a", 1), ("b", 2), ("a", 1)]]
    assert found == [1, 2, 1]


def load(folder, value, helper="FACTOR = 1"):
    folder.mkdir(exist_ok=True)
    (folder / "selectors.py").write_text(
        f"import torch\nfrom mechtests import memoized\n\n@memoized\ndef chosen(system) -> torch.Tensor:\n"
        f"    return torch.tensor({value})\n"
    )
    (folder / "helper.py").write_text(helper)
    spec = importlib.util.spec_from_file_location("selectors_of_a_test", folder / "selectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.chosen


def test_changed_code_beside_the_function_is_run_again(tmp_path):
    def passes(**code):
        cache = Cache(0, disk=Disk(tmp_path / "cache"))
        load(tmp_path / "claims", 1, **code)(system_with(cache))
        return cache.from_disk

    assert [passes(), passes(), passes(helper="FACTOR = 2"), passes(helper="FACTOR = 2")] == [0, 1, 0, 1]


def test_keeps_its_name_and_says_what_it_wraps():
    assert (fit.__name__, fit.__module__) == ("fit", __name__)


def untyped(system):
    return torch.ones(1)


def number(system) -> float:
    return 1.0


def any_number_of(system) -> tuple[Tensor, ...]:
    return (torch.ones(1),)


def forward_reference(system) -> "Nowhere":
    return torch.ones(1)


@pytest.mark.parametrize("function", [untyped, number, any_number_of])
def test_a_function_that_does_not_say_that_it_returns_tensors_is_refused(function):
    with pytest.raises(TypeError, match=f"@memoized {function.__name__}: expected a return type that is a tensor"):
        memoized(function)


def test_a_return_type_that_cannot_be_read_is_refused():
    with pytest.raises(TypeError, match="its annotations cannot be read here"):
        memoized(forward_reference)


@pytest.mark.parametrize("function", [lambda: None, lambda system, inputs, head: None])
def test_a_function_of_no_system_or_of_two_things_besides_it_is_refused(function):
    with pytest.raises(TypeError, match="expected the system, and at most one parameter more"):
        memoized(function)


def wrong_single(system) -> Tensor:
    return 1.0


def wrong_count(system) -> tuple[Tensor, Tensor]:
    return (torch.ones(1),)


def wrong_field(system) -> Fit:
    return Pair(torch.ones(1), 2)


@pytest.mark.parametrize("function", [wrong_single, wrong_count, wrong_field])
def test_a_function_that_returns_something_else_than_it_says_is_told(function):
    with pytest.raises(TypeError, match=f"@memoized {function.__name__}: expected . tensors, as its annotation says"):
        memoized(function)(system_with(Cache()))
