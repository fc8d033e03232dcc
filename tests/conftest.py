"""Tests run side by side on few cores: one thread for each, or they wait for each other."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
