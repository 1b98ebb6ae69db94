"""From a claim to a verdict: the body's evidence, the controls, and the rule that decides."""
