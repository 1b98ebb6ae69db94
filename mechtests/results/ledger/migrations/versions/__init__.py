"""One file a step, each after the one that its ``down_revision`` names."""
