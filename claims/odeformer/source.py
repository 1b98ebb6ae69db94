"""The report that the claims of this folder come from."""

from mechtests import Source

REPORT = Source(
    "AI Safety Camp report: Mechanistic Interpretability Via Learning Differential Equations", "V. Slepukhin"
)
ATTENTION_LENS = REPORT.section("Logit Lens & Attention Lens")
DERIVATIVE = REPORT.section("Derivative inference")
INHIBITION = ATTENTION_LENS.section("Self-Inhibiting Behaviour of the Encoders")
