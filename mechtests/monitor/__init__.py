"""Judging checkpoints as they come: one with a reference beside it, or all that appear in a folder."""
