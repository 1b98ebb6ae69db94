"""What a small ODEFormer can do: ``python training/odeformer_evaluate.py CHECKPOINT ... --systems 256``.

Systems that it never saw: of the families that claims are about, and drawn by the package's own generator
(``odeformer_package_samples.py``). One row per checkpoint and kind of system is added to
``training/curves/odeformer-evaluation.jsonl``, and a table is printed, with exact (Clopper-Pearson) 95 % intervals.
``--into FOLDER`` copies the checkpoint there, with these figures in its header: so a checkpoint is made ready to ship.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import odeformer_canonical as canonical
import torch
from odeformer_data import points_read, term_expression, without_system
from odeformer_package_samples import FILE as PACKAGE_SAMPLES
from scipy.integrate import solve_ivp
from scipy.stats import binomtest
from torch import Tensor, nn

from mechtests.checkpoints import Checkpoint, load, save
from mechtests.families.ode import (
    Equations,
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    Trajectories,
    terms,
)
from mechtests.systems.odeformer.decoding import greedy
from mechtests.systems.odeformer.equations import Vocabulary, Written, r2
from mechtests.systems.odeformer.package import OdeformerConfig, build, environment

CURVE = Path(__file__).parent / "curves" / "odeformer-evaluation.jsonl"
LONGEST = 59
"""Words of an equation at most, the end mark among them."""
MEASURES = ("valid", "sign", "r2")
FAMILIES = {
    "linear": Linear(),
    "logistic": Logistic(),
    "exponential": Exponential(),
    "linear_plane": LinearPlane(),
    "hyperbolic": Hyperbolic(),
    "harmonic": Harmonic(),
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Trajectories of one number of points, and the sign that counts for each.

    Attributes:
        trajectories: as the model is given them.
        leading: the term whose sign must be right, and the right sign; of systems of the package, where terms have no
            names, only the first sign of the equation.
    """

    trajectories: Trajectories
    leading: list[tuple[canonical.Monomial | None, str]]


def held_out_families(n: int) -> dict[str, list[HeldOut]]:
    """The same ``n`` valid trajectories of each family every time; their seed is no training chunk's."""
    chosen = {}
    for number, (name, family) in enumerate(FAMILIES.items()):
        drawn = family.sample(3 * n, torch.Generator().manual_seed(2**40 + number)).rescaled()
        trajectories = drawn[drawn.valid][:n]
        assert isinstance(trajectories.system, Equations)
        chosen[name] = [HeldOut(trajectories, [_leading(row) for row in trajectories.system.coefficients])]
    return chosen


def _leading(coefficients: Tensor) -> tuple[canonical.Monomial, str]:
    """The first term of the first right-hand side, in the order of :func:`mechtests.families.ode.terms`."""
    dimension = len(coefficients)
    place = int(coefficients[0].nonzero()[0, 0])
    (monomial,) = term_expression(terms(dimension)[place], [1.0] * dimension)
    return monomial, "+" if coefficients[0, place] > 0 else "-"


def held_out_package(n: int) -> dict[str, list[HeldOut]]:
    """Up to ``n`` systems of each dimension that the package drew, at the points that its training reads."""
    document = json.loads(PACKAGE_SAMPLES.read_text())
    chosen = {}
    for dimension, name in ((1, "package_1d"), (2, "package_2d")):
        by_points: dict[int, list[dict[str, Any]]] = {}
        for sample in document[str(dimension)]["samples"][:n]:
            by_points.setdefault(sample["points"], []).append(sample)
        chosen[name] = [
            HeldOut(
                _solved(samples, count).at(points_read(count).expand(len(samples), -1)),
                [(None, _first_sign(one["equation"])) for one in samples],
            )
            for count, samples in sorted(by_points.items())
        ]
    return chosen


def _solved(samples: list[dict[str, Any]], count: int) -> Trajectories:
    """The package's trajectories once more: its samples hold the equation and the start alone."""
    encoder = environment(OdeformerConfig(emb_emb_dim=32)).equation_encoder
    times = np.linspace(1, 10, count)
    states = []
    for sample in samples:
        tree = encoder.decode(sample["equation"].split(","))

        def slope(_: float, y: np.ndarray, tree: Any = tree) -> np.ndarray:
            return np.asarray(tree.val(y[None], np.zeros(1))[0])

        states.append(solve_ivp(slope, (1, 10), sample["start"], t_eval=times).y.T)
    return without_system(torch.from_numpy(times).expand(len(samples), -1), torch.from_numpy(np.stack(states)))


def _first_sign(equation: str) -> str:
    for word in equation.split(","):
        if word not in canonical.WORDS and not word.lstrip("-").isdigit():
            return "-" if word.startswith("-") else "+"
    return ""


@torch.no_grad()
def judged(model: Any, vocabulary: Vocabulary, examples: HeldOut) -> Iterator[dict[str, bool]]:
    """For each trajectory: whether the equation is valid, has the right sign, and gives R² ≥ 0.9 by greedy decoding."""
    trajectories = examples.trajectories
    points = vocabulary.points(trajectories).transpose(0, 1)
    counts = torch.full((points.shape[1],), len(points))
    embedded = model.embedder.compress(model.embedder.embed(points))
    encoded = model.encoder("fwd", x=embedded, lengths=counts, causal=False).transpose(0, 1)
    words, scores = greedy(model.decoder, encoded, counts, LONGEST)
    written = Written(words, vocabulary, scores)
    fits = r2(written, trajectories) >= 0.9
    for i, (monomial, sign) in enumerate(examples.leading):
        valid = bool(written.dimensions[i] == trajectories.dimension)
        yield {
            "valid": valid,
            "sign": valid and _sign(written, i, monomial) == sign,
            "r2": bool(fits[i]),
        }


def _sign(written: Written, index: int, monomial: canonical.Monomial | None) -> str | None:
    """The sign of this term in the first right-hand side; without a term, the first sign of the row."""
    if monomial is None:
        return written.first_sign(index)
    tree = written.trees[index]
    try:
        coefficient = canonical.read(tree.nodes[0].prefix().split(",")).get(monomial, 0)  # type: ignore[union-attr]
    except (ValueError, ArithmeticError):  # operators that are not trained, or a division by zero
        return None
    return "+" if coefficient > 0 else "-" if coefficient < 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--systems", type=int, default=256, help="per kind")
    parser.add_argument("--into", type=Path, help="the folder for copies with these figures in their headers")
    parser.add_argument("--kinds", nargs="+", help="of systems; without it, all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = held_out_families(options.systems) | held_out_package(options.systems)
    examples = {kind: groups for kind, groups in examples.items() if kind in (options.kinds or examples)}
    for path in options.checkpoints:
        checkpoint, model = load(path, "odeformer", OdeformerConfig, _with_vocabulary)
        vocabulary = model.vocabulary
        print(f"{checkpoint.name}, step {checkpoint.provenance.step}\n\n| systems | n | {' | '.join(MEASURES)} |")
        print("| --- | --- | --- | --- | --- |")
        metrics: dict[str, float] = {}
        for kind, groups in examples.items():
            rows = [row for group in groups for row in judged(model, vocabulary, group)]
            right = {measure: sum(row[measure] for row in rows) for measure in MEASURES}
            cells = [_interval(count, len(rows)) for count in right.values()]
            print(f"| {kind} | {len(rows)} | {' | '.join(cells)} |", flush=True)
            metrics |= {f"{kind}_{measure}": count / len(rows) for measure, count in right.items()}
            record = {"checkpoint": checkpoint.name, "step": checkpoint.provenance.step, "kind": kind, "n": len(rows)}
            with CURVE.open("a") as file:
                file.write(json.dumps(record | right) + "\n")
        if options.into is not None:
            kept = nn.ModuleDict({name: getattr(model, name) for name in ("embedder", "encoder", "decoder")}).half()
            save(options.into / _name(checkpoint), kept, replace(checkpoint.provenance, metrics=metrics))
        print()


def _with_vocabulary(config: OdeformerConfig) -> Any:
    model: Any = build(config)
    model.vocabulary = Vocabulary(config)
    return model.eval()


def _name(checkpoint: Checkpoint) -> str:
    made = checkpoint.provenance
    name = f"{made.recipe}-seed{made.seed:02d}"
    return f"{name}.safetensors" if made.final else f"{name}-step{made.step:05d}.safetensors"


def _interval(count: int, n: int) -> str:
    interval = binomtest(count, n).proportion_ci(method="exact")
    return f"{count / n:.2f} ({interval.low:.2f} to {interval.high:.2f})"


if __name__ == "__main__":
    main()
