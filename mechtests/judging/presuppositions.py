"""What claims take for granted of a system, measured once per model."""

from collections.abc import Mapping
from typing import Any

from mechtests.claiming.claim import Claim, Requirement, parameter_text
from mechtests.claiming.controls import system_argument
from mechtests.claiming.expectations import ClaimError
from mechtests.systems.base import System


class Presuppositions:
    """The answers to the requirements of claims, by requirement and model."""

    def __init__(self) -> None:
        self._unmet: dict[tuple[Requirement, str], str | None] = {}

    def unmet(self, claim: Claim, arguments: Mapping[str, Any]) -> str | None:
        """Which presupposition of ``claim`` the system among ``arguments`` fails, and how; ``None`` if it meets all.

        Raises:
            ClaimError: there is no system among the arguments, or a requirement returned neither ``True`` nor text.
        """
        found = system_argument(arguments)
        for requirement in claim.requires:
            asked = f"claim {claim.id}: requires={parameter_text(requirement)}"
            if found is None:
                raise ClaimError(f"{asked} is asked of the system under test, and no argument of the test is one.")
            key = requirement, found[1].identity
            if key not in self._unmet:
                self._unmet[key] = _answer(requirement, found[1], asked)
            if (reason := self._unmet[key]) is not None:
                return reason
        return None


def _answer(requirement: Requirement, system: System, asked: str) -> str | None:
    """Why ``system`` does not meet ``requirement``; ``None`` where it does."""
    answer = requirement(system)
    if isinstance(answer, str) and answer:
        return answer
    if getattr(answer, "item", lambda: answer)() is not True:  # NumPy and torch have a true of their own
        raise ClaimError(
            f"{asked} returned {answer!r} for {system.name}. Expected True, or the reason why not as text, as in "
            "`return accuracy >= 0.9 or f'it answers {accuracy:.0%} of the problems'`."
        )
    return None
