"""Look before you grow: the candidates, what each would bring and cost, and applying one by hand."""

import torch
from sklearn.datasets import load_digits

from gromo_graph import GrowthScheduler, compile_network, load_spec

digits = load_digits()
x = torch.tensor(digits.data / 16.0, dtype=torch.float32)
y = torch.tensor(digits.target)
data = list(zip(x.split(128), y.split(128), strict=True))

network = compile_network(load_spec("specs/digits_mlp.yaml"), seed=0)
scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy)

plan = scheduler.plan(data)
for candidate in plan.candidates:
    if candidate.reason is None:
        print(
            f"{candidate.kind} {candidate.target} by {candidate.neurons}: slope {candidate.slope:.4f}, "
            f"+{candidate.delta_parameters} parameters, +{candidate.delta_madds} multiply-adds"
        )
    else:
        print(f"{candidate.kind} {candidate.target}: left out, {candidate.reason}")

best = plan.candidates[0]
event = scheduler.apply(best)
print(f"applied {best.target} with γ {event.gamma:g}: loss {event.loss_before:.4f} -> {event.loss_after:.4f}")
assert event.loss_after < event.loss_before
