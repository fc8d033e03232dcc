"""The cost of a forward pass once a model is imported, and once it is exported again: ratios to the original's time.

    python benchmarks/interop.py [--rounds 60] [--threads 1] [--case resnet]

The targets: an imported GrowingNetwork at most 1.05 times, an exported module at most 1.01 times the original, in
evaluation mode without gradients and in a training step's forward pass. The case `tiny` has no target: it shows what a
pass costs beside its layers, in a network whose layers cost next to nothing. Freed memory is kept for the next pass:
who gets fresh pages from the system, and waits for them, would else depend on who ran before. `encoder` has no target
either: torch computes it in one fused step, and lays the features of a head side by side, which a spec does not.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.interleaved import ABOUT, Work, timed, verdict, warn_if_busy
from gromo_graph import from_torch
from tests.interop.models import MLP, VGG, DenseNet, Mixer, ResNet18, UNet

NETWORK, EXPORTED = 1.05, 1.01
_FREE = ("tiny", "encoder")
_KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tiny": (lambda: MLP(4), (2, 8, 8)),
    "mlp": (lambda: MLP(512), (512, 8, 8)),
    "vgg": (lambda: VGG(16), (32, 3, 32, 32)),
    "resnet": (lambda: ResNet18(16), (16, 3, 64, 64)),
    "densenet": (lambda: DenseNet(12), (16, 3, 32, 32)),
    "unet": (lambda: UNet(up=nn.Upsample(scale_factor=2)), (1024, 1, 8, 8)),
    "mixer": (Mixer, (2048, 1, 8, 8)),
    "encoder": (lambda: encoder(64), (16, 64, 64)),
}


def encoder(width: int) -> nn.Module:
    """Two layers of a transformer encoder."""
    layer = nn.TransformerEncoderLayer(
        width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def forward(model: nn.Module, x: Tensor, *, training: bool) -> Work:
    """A forward pass; in training with what a backward pass needs."""
    model.train(training)

    def work() -> object:
        with torch.set_grad_enabled(training):
            return model(x)

    return work


def measure(case: str, *, rounds: int) -> bool:
    """Print the ratios of a case; whether they keep to the targets."""
    build, shape = CASES[case]
    torch.manual_seed(0)
    model = build()
    network = from_torch(model, torch.zeros(2, *shape[1:]))
    models = {"original": model, "network": network, "exported": network.to_torch()}
    x = torch.randn(*shape)
    kept = True
    for training in (False, True):
        works = {name: forward(each, x, training=training) for name, each in models.items()}
        found = timed(works, to="original", rounds=rounds)
        for name, target in (("network", NETWORK), ("exported", EXPORTED)):
            row = found[name]
            mode = "training" if training else "evaluation"
            beside = (row.seconds - found["original"].seconds) * 1e6
            told = f"{beside:+.0f} µs" if case in _FREE else verdict(row.ratio, target)
            print(
                f"{case:9s} {mode:10s} {name:9s} {row.seconds * 1e3:8.2f} ms   {row.ratio:6.3f} x original   {told}"
            )
            kept = kept and (case in _FREE or row.ratio <= target)
    return kept


def main() -> int:
    """Print the ratios; 1 where a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--case", choices=CASES)
    chosen = options.parse_args()
    warn_if_busy()
    print(f"a forward pass, {chosen.threads} thread(s): {ABOUT}")
    torch.set_num_threads(chosen.threads)
    kept = [measure(case, rounds=chosen.rounds) for case in ([chosen.case] if chosen.case else CASES)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    if not os.environ.keys() >= _KEPT_MEMORY.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_KEPT_MEMORY})
    sys.exit(main())
