"""Claims about the transformer that predicts the sign of ``a - b``."""
