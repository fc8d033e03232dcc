"""Write docs/from_keras_and_pytorch.md again: its tables are those by which foreign words are answered.

python docs/from_keras_and_pytorch.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gromo_graph.spec import foreign_words as words

PAGE = Path(__file__).with_name("from_keras_and_pytorch.md")

HEAD = """# From Keras and PyTorch

A spec is a list of named nodes, and `from` says what a node reads. There is no `forward`, no `add`, and no
input size: sizes follow from the sources.

## From Keras

```py
model = keras.Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(8, kernel_size=3, padding="same", activation="relu"),
        layers.MaxPooling2D(pool_size=2),
        layers.Flatten(),
        layers.Dense(10),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(0.001), loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=5, batch_size=64)
```

becomes

```yaml
nodes:
  image:  {kind: input, shape: [1, 28, 28]}
  conv:   {kind: conv2d, from: image, features: 8, kernel: 3, padding: same, activation: relu}
  pool:   {kind: max_pool2d, from: conv, kernel: 2}
  flat:   {kind: flatten, from: pool}
  logits: {kind: linear, from: flat, features: 10}
output: logits
train: {optimizer: {name: adam, lr: 0.001}, loss: cross_entropy, epochs: 5, batch_size: 64}
```

- Shapes have channels first.
- The output gives scores (logits): `loss: cross_entropy` applies the softmax.
- `model.fit` is `gromo-graph grow my.yaml --data rows.npz`, or `grow(spec, data=(x, y))`.

## From PyTorch

A model that you have is traced, and its weights are kept:

```python
import torch

from gromo_graph import dump_spec, from_torch

model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
network = from_torch(model, torch.randn(2, 4))
print(dump_spec(network.spec))
```

- An activation is not a node of its own but a key of the node before it: `activation: relu`.
- A sum or a concatenation is a node: `kind: merge, merge: sum`.
- `network` is a `torch.nn.Module`; `network.to_torch()` gives a plain one without gromo_graph.
  [Import and export](interop.md) has the rest.

## Words

`gromo-graph validate` answers the words below with the one to write. Upper and lower case, underscores and
hyphens do not matter.
"""


def table(of: Iterable[str], advice: Callable[[str], str | None]) -> Iterator[str]:
    """A row for each advice, with the words that it answers."""
    answered: dict[str, list[str]] = {}
    for word in of:
        told = advice(word)
        assert told is not None, word
        answered.setdefault(told, []).append(f"`{word}`")
    yield "| word | what to do |"
    yield "|---|---|"
    for told, found in answered.items():
        yield f"| {', '.join(found)} | {told} |"
    yield ""


def page() -> str:
    """The text of the page."""
    known = tuple(words._NODE_KEYS.values())
    lines = [HEAD]
    lines += ["### Kinds of nodes", "", *table({**words._KINDS, **words._OTHER_KINDS}, words.advice_for_kind)]
    lines += ["Activations are no nodes: write them as `activation` of the node before.", ""]
    lines += ["### Keys of nodes", ""]
    node_keys = {**words._NODE_KEYS, **words._NODE_ADVICE}
    lines += table(node_keys, lambda word: words.advice_for_key(word, "nodes", known))
    for section, keys in words._SECTION_KEYS.items():
        lines += [f"### {f'Keys of `{section}`' if section else 'Keys of the document'}", ""]
        lines += table(keys, lambda word, section=section: words.advice_for_key(word, section, ()))
    for key, values in words._VALUES.items():
        lines += [f"### Values of `{key}`", ""]
        lines += table(values, lambda word, key=key: words.advice_for_value(key, word))
    lines += ["### Maps", "", "These keys take a map; a plain value is answered with the map to write.", ""]
    lines += table(words._MAPS, lambda word: words.advice_for_map(word, "..."))
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
