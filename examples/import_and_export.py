"""A ResNet-18 at an eighth of its width, trained in plain PyTorch, imported, grown, and exported again."""

import tempfile
from itertools import pairwise
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, export, from_torch
from gromo_graph.spec.settings import Growth, Neurons, Statistics


class Block(nn.Module):
    def __init__(self, channels: int, features: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != features:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return functional.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(
            *(nn.Sequential(Block(a, b, 1 if a == b else 2), Block(b, b)) for a, b in pairwise(widths))
        )
        self.head = nn.Linear(8 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.stem(x))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


torch.set_num_threads(1)  # the layers are small: several threads would wait for each other
torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16.0
x = functional.interpolate(x, size=16, mode="bilinear") - 0.3  # scikit-learn's digits, upscaled
y = torch.tensor(labels)
train = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 600, 50)]
held_out = [(x[600:800], y[600:800])]


def epoch(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One's own training, whatever it is."""
    module.train()
    for inputs, target in train:
        optimizer.zero_grad()
        functional.cross_entropy(module(inputs), target).backward()
        optimizer.step()


def accuracy(module: nn.Module) -> float:
    module.eval()
    with torch.no_grad():
        return float((module(x[1000:]).argmax(1) == y[1000:]).float().mean())


model = ResNet(width=8)  # 64 is its usual width
own = torch.optim.Adam(model.parameters(), lr=0.003)
for _ in range(3):
    epoch(model, own)

network = from_torch(model, x[:2])
with torch.no_grad():
    apart = (network.eval()(x[:100]) - model.eval()(x[:100])).abs().max()
print(
    f"imported: {len(network.spec.nodes)} nodes, outputs differ by {apart:.1g}, accuracy {accuracy(network):.3f}"
)
assert apart < 1e-6

optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
policy = Growth(neurons=Neurons(per_step=8), kernel="centre", statistics=Statistics(samples=200))
scheduler = GrowthScheduler(network, functional.cross_entropy, optimizer=optimizer, policy=policy, epochs=8)
for _ in range(2):
    epoch(network, optimizer)
    event = scheduler.step(train, held_out)
    if event is not None and event.decision is not None:
        print(f"grown: {event.decision.target} +{event.decision.neurons}, {event.parameters:,} parameters")
print(f"accuracy {accuracy(network):.3f}")

plain = network.to_torch()  # a module of torch layers, nothing of gromo_graph in it
with tempfile.TemporaryDirectory() as folder:
    done = export(network, Path(folder) / "resnet.py")  # the same as a file to read, and its weights
    print(f"exported: {', '.join(path.name for path in done.files)}, outputs differ by {done.difference:g}")
with torch.no_grad():
    assert torch.allclose(plain(x[:100]), network(x[:100]), atol=1e-6)
