"""GrowthCallback for Lightning: the network of a LightningModule grows while a Trainer trains it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch

from gromo_graph.errors import GrowthError, RunError
from gromo_graph.graph.edits import Restore
from gromo_graph.growth import GrowthScheduler
from gromo_graph.growth.observe import Loss
from gromo_graph.interop.averages import begin_averages_anew
from gromo_graph.interop.find_network import network_in, optimizers_of
from gromo_graph.network.optimizers import Untrained
from gromo_graph.network.transaction import edit
from gromo_graph.records import GrowthEvent
from gromo_graph.spec import Spec, dump_spec, parse_spec
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.saved_statistics import Snapshot

try:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise ImportError("Lightning is missing: pip install 'gromo_graph[lightning]'") from error


_OWN = "gromo_graph"
"""The key of a checkpoint under which the spec is."""


class GrowthCallback(Callback):
    """Calls a GrowthScheduler after each training step; the optimizer follows.

    Growth takes place at shares of the training steps, from batches that were just trained on; a policy that counts
    epochs (`when: {every: 1}`) is asked at the end of each, and reads the training loader.

    Batches are those of the trainer's own loaders, moved and transformed by the hooks of the module. What grows is
    decided by the first validation loader. `parameters` and `growth_steps` are logged. A checkpoint of Lightning, one
    of weights alone too, knows how wide the network was: training goes on from it with
    `trainer.fit(..., ckpt_path=...)`. Averages of weights that other callbacks keep (StochasticWeightAveraging,
    WeightAveraging) begin anew when the network has grown.

    Args:
        loss: `loss(prediction, target)`, the mean over the batch, for what the network gives.
        network: the name of the GrowingNetwork in the module; None if there is only one.
        policy: when, where and how much grows; None takes the `growth` section of the network's spec.
        batch: makes `(x, y)` of a batch if it is something else; several inputs are a tuple in the place of x.
        validation: held-out pairs to decide by; None takes the trainer's.
        on_event: called with each GrowthEvent.
        untrained: what the optimizers leave out on purpose, as for GrowthScheduler.

    Attributes:
        events: every growth step that was tried. scheduler: the GrowthScheduler, once training has begun.

    Raises:
        ImportError: when this module is imported and Lightning is not installed.

    >>> callback = GrowthCallback(torch.nn.functional.cross_entropy)
    >>> trainer = Trainer(max_epochs=20, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        loss: Loss,
        *,
        network: str | None = None,
        policy: Growth | None = None,
        batch: Callable[[Any], tuple[Any, torch.Tensor]] | None = None,
        validation: Any = None,
        on_event: Callable[[GrowthEvent], None] | None = None,
        untrained: Untrained = (),
    ) -> None:
        self.untrained = untrained
        self.loss, self.network, self.policy = loss, network, policy
        self.batch, self.validation, self.on_event = batch, validation, on_event
        self.events: list[GrowthEvent] = []
        self.scheduler: GrowthScheduler | None = None
        self._module: LightningModule | None = None
        self._loaders: dict[str, _Prepared] = {}
        self._saved: Mapping[str, Any] | None = None
        self._steps_done = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Get ready to make the network as wide as that of a checkpoint.

        Lightning loads weights before it tells a callback of a checkpoint; the module alone is asked earlier.

        Raises:
            RunError: there are several processes.
        """
        if trainer.world_size > 1:
            raise RunError(
                f"the trainer has {trainer.world_size} processes: GrowthCallback is for one; several grow a network "
                "together with `torchrun -m gromo_graph grow`"
            )
        pl_module.on_load_checkpoint = _Widened(self, pl_module)  # type: ignore[method-assign]
        pl_module.on_save_checkpoint = _WithSpec(pl_module, self.network)  # type: ignore[method-assign]

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was, but that its checkpoints know the spec of the network."""
        if isinstance(vars(pl_module).get("on_load_checkpoint"), _Widened):
            del pl_module.on_load_checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An optimizer's state is saved by the order of parameters: that in which they were added as it grew."""
        if self._saved is None:
            return
        parameters = dict(pl_module.named_parameters())
        for optimizer, groups in zip(trainer.optimizers, self._saved["order"], strict=True):
            for group, names in zip(optimizer.param_groups, groups, strict=True):
                if set(names) <= set(parameters):
                    group["params"][:] = [parameters[name] for name in names]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the scheduler.

        Raises:
            GrowthError: the module holds no network, or several; no optimizer trains it, or a part of it is left out;
                or the length of the training is not known.
        """
        network = network_in(pl_module, self.network)
        policy = network.spec.growth if self.policy is None else self.policy
        bounded = trainer.max_epochs is not None and trainer.max_epochs > 0
        self.scheduler = GrowthScheduler(
            network,
            self.loss,
            optimizer=optimizers_of(network, trainer.optimizers),
            policy=self.policy,
            epochs=trainer.max_epochs if bounded else None,
            on_event=self._tell,
            untrained=self.untrained,
            training_steps=None if policy.counts_epochs else _training_steps(trainer),
        )
        self._steps_done = trainer.global_step
        self._module, self._loaders = pl_module, {}
        if self._saved is not None:
            self.scheduler.restore(Snapshot(self._saved["plain"], self._saved["tensors"]))
            self._saved = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Growth, if it is due after this training step; batches whose gradients are accumulated make no step.

        Raises:
            GrowthError: there are no held-out data, or batches that are no (x, y); or as for
                `GrowthScheduler.after_batch`.
        """
        scheduler = self.scheduler
        assert scheduler is not None
        if scheduler.policy.counts_epochs or trainer.global_step == self._steps_done:
            return
        self._steps_done = trainer.global_step
        x, y = batch if self.batch is None else self.batch(batch)
        with self._averages_following(trainer, pl_module):
            scheduler.after_batch(x, y, self._held_out(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Growth, if the policy counts epochs and it is due; and the size of the network for the log.

        Raises:
            GrowthError: there are no held-out data, or batches that are no (x, y); or as for `GrowthScheduler.step`.
        """
        assert self.scheduler is not None
        if self.scheduler.policy.counts_epochs:
            train = self._prepared("train", trainer, trainer.train_dataloader, trainer.num_training_batches)
            with self._averages_following(trainer, pl_module):
                self.scheduler.step(train, self._held_out(trainer))
        told = {
            "parameters": self.scheduler.network.graph.parameter_count,
            "growth_steps": self.scheduler.applied,
        }
        pl_module.log_dict({name: float(value) for name, value in told.items()})

    def state_dict(self) -> dict[str, Any]:
        """The state of the network and of its growth, for a checkpoint."""
        if self.scheduler is None or self._module is None:
            return {}
        saved = self.scheduler.saved()
        names = {parameter: name for name, parameter in self._module.named_parameters()}
        order = [
            [[names.get(each, "") for each in group["params"]] for group in optimizer.param_groups]
            for optimizer in self._module.trainer.optimizers
        ]
        spec = dump_spec(self.scheduler.network.spec)
        return {"spec": spec, "plain": dict(saved.plain), "tensors": dict(saved.tensors), "order": order}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the result of `state_dict`; growth goes on from there when training begins."""
        self._saved = state_dict or None

    @contextmanager
    def _averages_following(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
        """Begin averages of weights anew if the network is another one afterwards."""
        assert self.scheduler is not None
        graph = self.scheduler.network.graph
        yield
        if self.scheduler.network.graph is not graph:
            begin_averages_anew(trainer.callbacks, pl_module, self.scheduler.network)  # type: ignore[attr-defined]

    def _tell(self, event: GrowthEvent) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def _held_out(self, trainer: Trainer) -> _Prepared:
        if self.validation is not None:
            return self._prepared("validation", trainer, self.validation, math.inf)
        loaders, counts = trainer.val_dataloaders, trainer.num_val_batches
        loader = loaders[0] if isinstance(loaders, list | tuple) and loaders else loaders
        if loader is None or not counts or not counts[0]:
            raise GrowthError(
                "the trainer has no validation data, and growth is decided by samples that are held out: give the "
                "trainer a validation loader (and the module a validation_step), or GrowthCallback(validation=loader)"
            )
        return self._prepared("validation", trainer, loader, counts[0])

    def _prepared(self, part: str, trainer: Trainer, loader: Any, most: float) -> _Prepared:
        """The same object as long as the loader is the same: what the scheduler knows of the data stays true."""
        if isinstance(loader, dict | list | tuple) and not _is_batches(loader):
            raise GrowthError(f"the trainer has several {part} loaders: expected one, of pairs (x, y)")
        known = self._loaders.get(part)
        if known is None or known.loader is not loader or known.most != most:
            known = self._loaders[part] = _Prepared(trainer, loader, most, self.batch)
        return known


class _Widened:
    """`on_load_checkpoint` of a module whose network is first made what it was; then the weights fit."""

    def __init__(self, callback: GrowthCallback, module: LightningModule) -> None:
        self.callback, self.module = callback, module

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("callbacks", {}).get(self.callback.state_key) or checkpoint.get(_OWN)
        if state:
            network = network_in(self.module, self.callback.network)
            with edit(network) as change:
                change.apply(Restore(parse_spec(state["spec"], file="the checkpoint")))
            begin_averages_anew(self.module.trainer.callbacks, self.module, network)  # type: ignore[attr-defined]
        type(self.module).on_load_checkpoint(self.module, checkpoint)


class _WithSpec:
    """`on_save_checkpoint` of a module that adds the spec of its network, for a checkpoint of weights alone too."""

    def __init__(self, module: LightningModule, network: str | None) -> None:
        self.module, self.network = module, network

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        type(self.module).on_save_checkpoint(self.module, checkpoint)
        checkpoint[_OWN] = {"spec": dump_spec(network_in(self.module, self.network).spec)}


class _Prepared:
    """The batches of a loader as the trainer gives them to the module, so many as it takes."""

    def __init__(
        self, trainer: Trainer, loader: Any, most: float, batch: Callable[[Any], Any] | None
    ) -> None:
        self.trainer, self.loader, self.most, self.batch = trainer, loader, most, batch

    def __iter__(self) -> Iterator[Any]:
        for given in islice(self.loader, None if math.isinf(self.most) else int(self.most)):
            converted = self.trainer.precision_plugin.convert_input(given)
            moved = self.trainer.strategy.batch_to_device(converted)
            yield moved if self.batch is None else self.batch(moved)

    def __len__(self) -> int:
        return len(self.loader) if math.isinf(self.most) else int(self.most)


def _training_steps(trainer: Trainer) -> int:
    """The steps of the optimizer in the whole training.

    Raises:
        GrowthError: the trainer does not know them.
    """
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps) or steps < 1:
        raise GrowthError(
            "the trainer does not know the length of the training, and growth takes place at shares of it: write "
            "`Trainer(max_steps=...)`, give the train loader a `__len__`, or count in epochs with "
            "`growth.when.every: 1`"
        )
    return int(steps)


def _is_batches(loader: Any) -> bool:
    """A list of batches is a loader too."""
    return isinstance(loader, list | tuple) and bool(loader) and isinstance(loader[0], list | tuple | dict)


def spec_of_checkpoint(path: str | os.PathLike[str]) -> Spec:
    """The spec of the network in a checkpoint that Lightning wrote while GrowthCallback was there.

    Of use for a module that takes a spec: `Model.load_from_checkpoint(path, spec=spec_of_checkpoint(path))`.

    Raises:
        RunError: there is no such checkpoint, or no grown network in it. What is no plain value in it is not read.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises anything
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{os.fspath(path)}: this checkpoint cannot be read: {said}") from error
    found = checkpoint if isinstance(checkpoint, dict) else {}
    if found.get(_OWN):
        return parse_spec(found[_OWN]["spec"], file=os.fspath(path))
    for key, state in found.get("callbacks", {}).items():
        if str(key).startswith(GrowthCallback.__qualname__) and state:
            return parse_spec(state["spec"], file=os.fspath(path))
    raise RunError(
        f"{os.fspath(path)}: there is no spec in this checkpoint: it was written without GrowthCallback"
    )
