"""The commented documents that `gromo-graph new` prints."""

from __future__ import annotations

from collections.abc import Mapping

_MLP = """\
# A multilayer perceptron that grows from two narrow hidden layers.
#   gromo-graph validate FILE    is it right?
#   gromo-graph render FILE -o network.svg
#   gromo-graph grow FILE        train it and let it grow
version: 1
name: my_network

nodes:
  # A node is `name: {kind: ..., from: the node it reads, ...}`; the order of the lines is free.
  pixels:  {kind: input, shape: [64]}            # the shape of one sample
  hidden1: {kind: linear, from: pixels, features: 2, activation: relu}
  hidden2: {kind: linear, from: hidden1, features: 2, activation: relu}
  logits:  {kind: linear, from: hidden2, features: 10}   # a score for each class; outputs never grow
output: logits

growth:
  actions: [widen]               # growing means: layers get wider
  when: {steps: 10}              # tried 10 times, in the first quarter of the training at most
  stop: {parameters: 5000}       # the network never gets larger than this

train:
  data: digits                   # or iris, wine, breast_cancer, diabetes, or a .npz or .csv file
  loss: cross_entropy
  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.2}
  schedule: cosine
  batch_size: 64
  epochs: 60
"""

_RESIDUAL = """\
# A residual network: `join` adds the stem to what the block makes of it.
# Nodes whose outputs are added must be equally wide, so `stem` and `mix` grow together.
version: 1
name: my_residual_network

vars: {width: 4}                 # written as ${width} inside quotes; + - * // and parentheses work too

nodes:
  pixels: {kind: input, shape: [64]}
  stem:   {kind: linear, from: pixels, features: "${width}", activation: relu}
  lift:   {kind: linear, from: stem, features: "${width}", activation: relu, grow: {max: 128}}
  mix:    {kind: linear, from: lift, features: "${width}"}
  join:   {kind: merge, from: [stem, mix], merge: sum, activation: relu}  # sum, or concat side by side
  logits: {kind: linear, from: join, features: 10}
output: logits

growth:
  neurons: {per_step: 8}
  stop: {parameters: 5000}

train:
  data: digits
  loss: cross_entropy
  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.2}
  epochs: 60
"""

_REGRESSION = """\
# Regression: the diabetes data has 10 columns and one number to predict.
version: 1
name: my_regression

nodes:
  columns: {kind: input, shape: [10]}
  hidden1: {kind: linear, from: columns, features: 2, activation: gelu}
  hidden2: {kind: linear, from: hidden1, features: 2, activation: gelu, grow: {max: 16}}
  value:   {kind: linear, from: hidden2, features: 1}
output: value

growth:
  neurons: {per_step: 4}
  stop: {parameters: 500}

train:
  data: diabetes
  loss: mse
  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.1}
  batch_size: 32
  epochs: 60
"""

_CNN = """\
# A convolutional network that grows from two channels in each layer.
version: 1
name: my_cnn

nodes:
  image:  {kind: input, shape: [1, 8, 8]}      # channels, height, width; rows of 64 numbers are reshaped
  conv1:  {kind: conv2d, from: image, features: 2, kernel: 3, padding: same, bias: false}
  norm1:  {kind: batch_norm, from: conv1, activation: relu}  # new channels pass it unchanged at first
  conv2:  {kind: conv2d, from: norm1, features: 2, kernel: 3, padding: same, activation: relu}
  pool:   {kind: max_pool2d, from: conv2, kernel: 2}
  conv3:  {kind: conv2d, from: pool, features: 2, kernel: 3, padding: same, activation: relu, grow: {max: 32}}
  mean:   {kind: adaptive_avg_pool2d, from: conv3, size: 2}
  flat:   {kind: flatten, from: mean}          # a linear layer reads features without positions
  logits: {kind: linear, from: flat, features: 10}
output: logits

growth:
  neurons: {per_step: 4}
  kernel: full                                 # or centre: new channels are read at one position, which costs less
  stop: {parameters: 5000}

train:
  data: digits
  loss: cross_entropy
  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.1}
  epochs: 30
"""

STARTERS: Mapping[str, str] = {"mlp": _MLP, "residual": _RESIDUAL, "cnn": _CNN, "regression": _REGRESSION}
"""The texts by the name that `gromo-graph new` takes."""


def starter(kind: str = "mlp") -> str:
    """A commented document to start from; it loads as it is.

    Raises:
        KeyError: no such starter; `STARTERS` has their names.

    >>> starter().splitlines()[0]
    '# A multilayer perceptron that grows from two narrow hidden layers.'
    """
    return STARTERS[kind]
