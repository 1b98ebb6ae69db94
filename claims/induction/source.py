"""The lecture that the claims of this folder come from, and the papers that it builds on."""

from mechtests import Source

LECTURE = Source("Transformer mechanistic interpretability", "Xavier Poncini", 2024)
CIRCUITS = Source("A Mathematical Framework for Transformer Circuits", "Nelson Elhage et al.", 2021)
IN_CONTEXT = Source("In-context Learning and Induction Heads", "Catherine Olsson et al.", 2022)
