"""Growth inside one's own training loop: one call of the scheduler after each training step."""

import torch
from sklearn.datasets import make_moons

from gromo_graph import GrowthScheduler, compile_network, parse_spec

spec = parse_spec("""
version: 1
name: moons
nodes:
  point:  {kind: input, shape: [2]}
  hidden: {kind: linear, from: point, features: 1, activation: tanh}
  side:   {kind: linear, from: hidden, features: 2}
output: side
growth: {stop: {parameters: 80}, when: {until: 0.5}}
""")

x, y = make_moons(600, noise=0.15, random_state=0)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
train = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 400, 50)]
held_out = [(x[400:], y[400:])]

network = compile_network(spec, seed=0)
loss = torch.nn.functional.cross_entropy
optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
scheduler = GrowthScheduler(network, loss, optimizer=optimizer, epochs=20, training_steps=20 * len(train))

for epoch in range(1, 21):
    network.train()
    for inputs, target in train:
        optimizer.zero_grad()
        loss(network(inputs), target).backward()
        optimizer.step()
        for event in scheduler.after_batch(inputs, target, held_out):
            if event.decision is not None:
                print(
                    f"epoch {epoch:2d}: {event.decision.target} +{event.decision.neurons}, "
                    f"γ {event.gamma:g}, held-out loss {event.loss_before:.3f} -> {event.loss_after:.3f}"
                )
print(scheduler.reason)

network.eval()
accuracy = (network(held_out[0][0]).argmax(1) == held_out[0][1]).float().mean()
print(f"{network.graph.features('hidden')} hidden units, held-out accuracy {accuracy:.3f}")
assert accuracy > 0.9
