"""Small specs that train in a moment."""

from __future__ import annotations

from gromo_graph.spec import Spec, parse_spec

IRIS = """\
name: small
nodes:
  x: {kind: input, shape: [4]}
  hidden: {kind: linear, from: x, features: 1, activation: relu}
  y: {kind: linear, from: hidden, features: 3}
output: y
growth: {when: {every: 1, until: 0.75}, neurons: {per_step: 2}}
train: {data: iris, epochs: 4, batch_size: 32, optimizer: {name: adamw, lr: 0.02}}
"""

DIABETES = """\
name: progress
nodes:
  x: {kind: input, shape: [10]}
  hidden: {kind: linear, from: x, features: 2, activation: tanh}
  y: {kind: linear, from: hidden, features: 1}
output: y
train: {data: diabetes, loss: mse, epochs: 4, optimizer: {name: adam, lr: 0.02}}
"""


def classifier(features: int = 2, outputs: int = 2, **changes: str) -> Spec:
    """The spec IRIS for other rows, with values replaced as by `iris`."""
    named = {path.replace("__", "."): value for path, value in changes.items()}
    return parse_spec(
        IRIS, overrides={"nodes.x.shape": f"[{features}]", "nodes.y.features": str(outputs), **named}
    )


def iris(**changes: str) -> Spec:
    """The spec IRIS with values replaced: `iris(train__epochs="2")`."""
    return parse_spec(IRIS, overrides={path.replace("__", "."): value for path, value in changes.items()})
