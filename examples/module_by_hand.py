"""The growing modules without graph or scheduler: statistics, optimal neurons, apply."""

import torch

from gromo_graph import LinearGrowingModule

torch.manual_seed(0)
first = LinearGrowingModule(8, 2, post_layer_function=torch.nn.ReLU(), name="first")
second = LinearGrowingModule(2, 3, previous_module=first, name="second")
x, y = torch.randn(500, 8), torch.randn(500, 3)


def loss() -> torch.Tensor:
    return (second(first(x)) - y).square().sum() / 3


for module in (first, second):
    module.init_computation()
loss().backward()  # the loss is a SUM over the samples
for module in (first, second):
    module.update_computation()

second.compute_optimal_updates(maximum_added_neurons=4)
print("singular values", [round(float(value), 3) for value in second.eigenvalues_extension])
print("first order improvement", round(float(second.first_order_improvement), 4))

before = loss().item()
second.apply_change(scaling_factor=0.5)
second.delete_update()
for module in (first, second):
    module.reset_computation()
after = loss().item()
print(f"hidden width {first.out_features}, loss {before / 500:.4f} -> {after / 500:.4f}")
assert first.out_features == 2 + 3  # y has 3 columns, so no more than 3 directions lower the loss
assert after < before
