"""Puts the fixtures layer at the disposal of every test and claim of this repository."""

pytest_plugins = ["fixtures.subtraction", "pytester"]
