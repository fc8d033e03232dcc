"""A network with two inputs and two outputs, grown in one's own loop."""

from pathlib import Path

import torch
from sklearn.datasets import load_digits

from gromo_graph import GrowthScheduler, compile_network, load_spec

spec = load_spec(Path(__file__).resolve().parent.parent / "specs" / "two_inputs.yaml")

x, y = load_digits(return_X_y=True)
picture = torch.tensor(x / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
numbers = torch.stack(
    [picture.mean((1, 2, 3)), *(part.mean((1, 2, 3)) for part in picture.split(2, dim=2))], 1
)
target = torch.stack([torch.tensor(y, dtype=torch.float32), picture.sum((1, 2, 3)) / 20], dim=1)


def loss(prediction, target):
    """The digit of an image, and the ink it takes."""
    digit = torch.nn.functional.cross_entropy(prediction["digit"], target[:, 0].long())
    return digit + torch.nn.functional.mse_loss(prediction["size"][:, 0], target[:, 1])


# Several inputs are one tuple of a batch, in the order of the document.
train = [((picture[i : i + 64], numbers[i : i + 64]), target[i : i + 64]) for i in range(0, 1280, 64)]
held_out = [((picture[1280:], numbers[1280:]), target[1280:])]

network = compile_network(spec, seed=0)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
scheduler = GrowthScheduler(network, loss, optimizer=optimizer, epochs=12)

for epoch in range(12):
    network.train()
    for inputs, wanted in train:
        optimizer.zero_grad()
        loss(network(*inputs), wanted).backward()
        optimizer.step()
    event = scheduler.step(train, held_out)
    if event is not None and event.decision is not None:
        print(f"epoch {epoch + 1}: {event.reason}")

network.eval()
(inputs, wanted) = held_out[0]
accuracy = (network(*inputs)["digit"].argmax(1) == wanted[:, 0]).float().mean()
print(f"{network.graph.parameter_count:,} parameters, accuracy {accuracy:.3f}")
assert accuracy > 0.7
