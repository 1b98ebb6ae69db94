"""What the parts of mechtests cost, as ratios measured in one run."""
