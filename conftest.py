"""Puts the fixtures layer at the disposal of every test and claim of this repository."""

import torch

pytest_plugins = ["fixtures.odeformer", "fixtures.subtraction", "fixtures.induction", "pytester"]

# The models are small: a second thread saves little, costs much on a busy machine, and changes the order of sums.
torch.set_num_threads(1)
