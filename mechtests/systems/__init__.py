"""Systems: adapters that know one kind of model's insides, so that claims need not."""

from mechtests.systems.base import Head, System
from mechtests.systems.induction import Induction
from mechtests.systems.language_model import LanguageModel
from mechtests.systems.odeformer import Odeformer
from mechtests.systems.subtraction import Subtraction

__all__ = ["Head", "Induction", "LanguageModel", "Odeformer", "Subtraction", "System"]
