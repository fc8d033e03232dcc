"""Growth in Lightning: a callback beside a LightningModule that says nothing of growing."""

import logging
import tempfile
import warnings

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from gromo_graph import compile_network, parse_spec
from gromo_graph.interop.lightning import GrowthCallback

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")  # its words on workers and progress bars

SPEC = """
version: 1
name: digits
nodes:
  pixels: {kind: input, shape: [64]}
  hidden: {kind: linear, from: pixels, features: 2, activation: relu}
  digit:  {kind: linear, from: hidden, features: 10}
output: digit
growth: {stop: {parameters: 2500}}
"""


class Digits(LightningModule):
    def __init__(self):
        super().__init__()
        self.network = compile_network(parse_spec(SPEC), seed=0)

    def training_step(self, batch, index):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.network(x), y)

    def validation_step(self, batch, index):
        x, y = batch
        self.log("accuracy", (self.network(x).argmax(dim=1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.005)


def tell(event):
    if event.decision is not None:
        grown = event.decision
        print(f"epoch {event.epoch:2d}: {grown.target} +{grown.neurons}, {event.parameters:,} parameters")


torch.set_num_threads(1)  # so small a network is faster without company
seed_everything(0, verbose=False)
digits = load_digits()
data = TensorDataset(torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target))
train, held_out = torch.utils.data.random_split(data, [1400, len(data) - 1400])

growth = GrowthCallback(torch.nn.functional.cross_entropy, on_event=tell)
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        max_epochs=16,
        callbacks=[growth],
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(), DataLoader(train, 64, shuffle=True), DataLoader(held_out, 397))

found = {name: float(value) for name, value in trainer.callback_metrics.items()}
print(f"{found['parameters']:,.0f} parameters, accuracy {found['accuracy']:.3f}")
assert found["accuracy"] > 0.9
