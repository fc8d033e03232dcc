"""Growth in skorch: a callback of a NeuralNetClassifier, also inside a grid search of scikit-learn."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from gromo_graph import compile_network, parse_spec
from gromo_graph.interop.skorch import GrowthCallback

spec = parse_spec("""
version: 1
name: digits
nodes:
  pixels: {kind: input, shape: [64]}
  hidden: {kind: linear, from: pixels, features: 2, activation: relu}
  digit:  {kind: linear, from: hidden, features: 10}
output: digit
growth: {stop: {parameters: 2500}}
""")

torch.set_num_threads(1)  # so small a network is faster without company
x, y = load_digits(return_X_y=True)
x = (x / 16.0).astype("float32")

net = NeuralNetClassifier(
    compile_network,
    module__spec=spec,
    module__seed=0,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.AdamW,
    lr=0.005,
    batch_size=64,
    max_epochs=15,
    callbacks=[("growth", GrowthCallback())],
    verbose=0,
)

torch.manual_seed(0)
search = GridSearchCV(net, {"lr": [0.0005, 0.005]}, cv=2).fit(x, y)
best = search.best_estimator_
for event in dict(best.callbacks_)["growth"].events_:
    if event.decision is not None:
        print(f"epoch {event.epoch:2d}: {event.decision.target} +{event.decision.neurons}")
print("parameters over the epochs:", best.history[:, "parameters"])
print(f"learning rate {search.best_params_['lr']}, accuracy {search.best_score_:.3f}")
assert best.module_.graph.features("hidden") > 2
assert search.best_score_ > 0.85
