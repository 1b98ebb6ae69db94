"""Draw systems with the package's own generator: ``python training/odeformer_package_samples.py 250``.

They are written to ``tests/training/odeformer_package_samples.json``, where ours are compared with them, since the
package takes some 0.2 s of processor time for each. Where the package stops a system by the wall clock (integration
that takes more than a second), processor time counts here, so that a busy machine does not change what is drawn.
"""

import argparse
import inspect
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mechtests.systems.odeformer.package import OdeformerConfig, environment

HERE = Path(__file__).parent
FILE = HERE.parent / "tests" / "training" / "odeformer_package_samples.json"
LIMIT = 1.0
"""Seconds for one integration."""


class PackageGenerator:
    """The package's generator, and why it left out what it left out."""

    def __init__(self, seed: int) -> None:
        from odeformer import utils  # noqa: PLC0415 - importable once the environment was made
        from odeformer.envs import generators  # noqa: PLC0415

        self.environment: Any = environment(OdeformerConfig(emb_emb_dim=32, float_precision=3))
        self.environment.rng = np.random.RandomState(seed)
        self.discarded: Counter[str] = Counter()
        self._stopped: type[BaseException] = utils.MyTimeoutError
        self._integrate = inspect.unwrap(generators._integrate_ode)
        self._solved, self._slow = False, False
        self._generators = generators

    def _integrated(self, y0: Any, times: Any, *rest: Any) -> Any:
        def stop(*_: Any) -> None:
            raise self._stopped

        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        began = time.process_time()
        try:
            trajectory = self._integrate(y0, times, *rest)
        except self._stopped:
            trajectory = None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self._solved = trajectory is not None and not np.any(np.isnan(trajectory))
        self._slow = time.process_time() - began >= LIMIT
        return trajectory if self._solved else None

    def draw(self, dimension: int) -> dict[str, Any]:
        """The next system that the package keeps."""
        draw = inspect.unwrap(type(self.environment)._gen_expr)
        original = self._generators._integrate_ode
        self._generators._integrate_ode = self._integrated
        try:
            return self._kept(draw, dimension)
        finally:
            self._generators._integrate_ode = original

    def _kept(self, draw: Callable[..., tuple[dict[str, Any], list[str]]], dimension: int) -> dict[str, Any]:
        while True:
            self._solved, self._slow = False, False
            sample, errors = draw(self.environment, True, dimension=dimension)
            if not errors:
                return sample
            if "simplification" in errors[0]:
                self.discarded["simplification"] += 1
            else:
                self.discarded["stationary" if self._solved else "slow" if self._slow else "unsolved"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=int, help="per dimension")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    document: dict[str, Any] = {"seed": options.seed}
    for dimension in (1, 2):
        generator = PackageGenerator(options.seed + dimension)
        began = time.process_time()
        rows = []
        for _ in range(options.samples):
            sample = generator.draw(dimension)
            trajectory = sample["trajectory"]
            rows.append(
                {
                    "equation": sample["tree"].prefix(),
                    "points": len(trajectory),
                    "start": [round(float(value), 4) for value in trajectory[0]],
                    "largest": round(float(np.abs(trajectory).max()), 4),
                }
            )
        document[str(dimension)] = {
            "seconds_per_sample": round((time.process_time() - began) / options.samples, 4),
            "discarded": dict(generator.discarded),
            "samples": rows,
        }
    lines = json.dumps(document, indent=None).replace('{"equation"', '\n{"equation"')
    FILE.write_text(lines + "\n")


if __name__ == "__main__":
    main()
