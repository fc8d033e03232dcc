"""Edit a network while it is trained: weights are kept, and so is what it computes, as far as that is possible."""

import torch
from sklearn.datasets import load_digits

from gromo_graph import compile_network, diff, edit, parse_spec

spec = parse_spec("""
name: edited
nodes:
  pixels: {kind: input, shape: [64]}
  hidden: {kind: linear, from: pixels, features: 8, activation: relu}
  logits: {kind: linear, from: hidden, features: 10}
output: logits
""")
x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)

network = compile_network(spec, seed=0)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)


def train(epochs):
    """Some epochs on the first 1,200 digits; the accuracy on the others."""
    for _ in range(epochs):
        for part in torch.randperm(1200, generator=torch.Generator().manual_seed(0)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[part]), y[part]).backward()
            optimizer.step()
    return float((network(x[1200:]).argmax(1) == y[1200:]).float().mean())


print(f"trained: {train(10):.3f}")
with edit(network, optimizer=optimizer, generator=torch.Generator().manual_seed(0)) as e:
    e.set_features("hidden", 16)  # eight more, whose readers begin with weights of 0
    e.insert("hidden", "logits", "deeper", {"kind": "linear", "activation": "relu"})  # as the identity
    e.connect("pixels", "logits")  # a skip, with weights of 0
print("computes the same:", e.preserved, *e.notes)
for node in diff(spec, network.spec).nodes:
    print(f"  {node.what} {node.name}: {node.before} -> {node.after}")
accuracy = train(10)
print(f"trained on: {accuracy:.3f}")
assert e.preserved
assert accuracy > 0.85

with edit(network, optimizer=optimizer) as back:
    back.apply(e.inverse)
assert network.spec == spec
