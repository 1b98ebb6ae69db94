"""A run as the results file describes it."""

import platform
import uuid
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from mechtests.judging.judge import Settings
from mechtests.results.record import RunRecord


def run_record(settings: Settings, device: torch.device, began: datetime, commit: str | None) -> RunRecord:
    """The run that is ending now.

    Args:
        settings: what it judged by.
        device: where its models ran.
        began: when it began, with a time zone.
        commit: the commit of the repository whose claims were judged, where there is one.
    """
    return {
        "id": uuid.uuid4().hex,
        "started": began.isoformat(),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 2),
        "commit": commit,
        "device": str(device),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("mechtests", "torch", "numpy", "pytest")},
        },
        "seed": settings.seed,
        "alpha": settings.alpha,
        "budget": settings.budget,
    }
