"""GrowthCallback for skorch: the network of a NeuralNet grows while it is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.growth import GrowthScheduler
from gromo_graph.growth.means import share_of
from gromo_graph.interop.restore_widths import KnownWidths
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import Untrained
from gromo_graph.records import GrowthEvent
from gromo_graph.spec.settings import Growth

try:
    from skorch import NeuralNet
    from skorch.callbacks import Callback
    from skorch.dataset import unpack_data
except ImportError as error:
    raise ImportError("skorch is missing: pip install 'gromo_graph[skorch]'") from error


class GrowthCallback(Callback):  # type: ignore[misc]
    """Calls a GrowthScheduler after each training batch; the optimizer follows, the history gets `parameters`.

    Growth takes place at shares of the training steps, from batches that were just trained on; a policy that counts
    epochs (`when: {every: 1}`) is asked at the end of each, and reads the training data.

    The module of the net is a GrowingNetwork: `NeuralNetClassifier(compile_network, module__spec=spec, ...)`. Its loss
    is the criterion of the net. What grows is decided by the validation data that the net splits off. Weights of an
    epoch at which the network had another width can be loaded back (EarlyStopping and Checkpoint with `load_best`): the
    network takes that width.

    Args:
        policy: when, where and how much grows; None takes the `growth` section of the network's spec.
        on_event: called with each GrowthEvent.
        untrained: what the optimizer leaves out on purpose, as for GrowthScheduler.

    Attributes:
        events_: every growth step that was tried. scheduler_: the GrowthScheduler; pickles of a net leave it out.

    Raises:
        ImportError: when this module is imported and skorch is not installed.

    >>> sorted(GrowthCallback().get_params())
    ['on_event', 'policy', 'untrained']
    """

    events_: list[GrowthEvent]
    scheduler_: GrowthScheduler | None
    train_batches_: _Batches | None
    valid_batches_: _Batches | None
    widths_: KnownWidths

    def __init__(
        self,
        policy: Growth | None = None,
        on_event: Callable[[GrowthEvent], None] | None = None,
        untrained: Untrained = (),
    ) -> None:
        self.untrained = untrained
        self.policy = policy
        self.on_event = on_event

    def initialize(self) -> GrowthCallback:
        """A net that is initialised begins anew."""
        self.events_, self.scheduler_ = [], None
        self.train_batches_ = self.valid_batches_ = None
        self.widths_ = KnownWidths()
        return self

    def on_train_begin(self, net: NeuralNet, *args: Any, **kwargs: Any) -> None:
        """Remember how wide the network is.

        Raises:
            GrowthError: the module is no GrowingNetwork.
        """
        network = _network(net)
        self.widths_.note(network)
        self.widths_.watch(network, lambda: net.optimizer_)

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Make the scheduler, and note what is held out.

        Raises:
            GrowthError: the module is no GrowingNetwork, or the net holds out no data; the length of the training is
                not known; or as for GrowthScheduler.
        """
        if dataset_valid is None:
            raise GrowthError(
                "the net has train_split=None, and growth is decided by samples that are held out: give it a split, "
                "such as skorch.dataset.ValidSplit(5)"
            )
        if self.scheduler_ is None or self.scheduler_.network is not _network(net):
            self.train_batches_ = self.valid_batches_ = None
        self.train_batches_ = _same(self.train_batches_, net, dataset_train, training=True)
        self.valid_batches_ = _same(self.valid_batches_, net, dataset_valid, training=False)
        if self.scheduler_ is None or self.scheduler_.network is not _network(net):
            self.scheduler_ = self._scheduler(net, self.train_batches_)
        if self.scheduler_.optimizer is not net.optimizer_:  # a changed parameter of the net makes a new one
            self.scheduler_.optimizer = net.optimizer_

    def on_batch_end(self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Growth, if it is due after this training step.

        Raises:
            GrowthError: as for `GrowthScheduler.after_batch`.
        """
        scheduler = self.scheduler_
        if not training or scheduler is None or scheduler.policy.counts_epochs:
            return
        assert self.valid_batches_ is not None  # made with the scheduler
        x, y = unpack_data(batch)
        scheduler.after_batch(x, y, self.valid_batches_)
        self.widths_.note(scheduler.network)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Growth, if the policy counts epochs and it is due; and the size of the network for the history.

        Raises:
            GrowthError: as for `GrowthScheduler.step`.
        """
        assert self.scheduler_ is not None  # made when the epoch began, with the batches
        assert self.train_batches_ is not None
        assert self.valid_batches_ is not None
        if self.scheduler_.policy.counts_epochs:
            self.scheduler_.step(self.train_batches_, self.valid_batches_)
        self.widths_.note(self.scheduler_.network)
        net.history.record("parameters", self.scheduler_.network.graph.parameter_count)

    def __getstate__(self) -> dict[str, Any]:
        passing = {"scheduler_": None, "train_batches_": None, "valid_batches_": None}
        return {name: passing.get(name, value) for name, value in vars(self).items()}

    def _scheduler(self, net: NeuralNet, train: _Batches) -> GrowthScheduler:
        network = _network(net)
        policy = network.spec.growth if self.policy is None else self.policy
        return GrowthScheduler(
            network,
            _Criterion(net),
            optimizer=net.optimizer_,
            policy=self.policy,
            epochs=net.max_epochs,
            on_event=self._tell,
            untrained=self.untrained,
            training_steps=None if policy.counts_epochs else net.max_epochs * train.known_length(),
        )

    def _tell(self, event: GrowthEvent) -> None:
        self.events_.append(event)
        if self.on_event is not None:
            self.on_event(event)


def _network(net: NeuralNet) -> GrowingNetwork:
    module = getattr(net.module_, "_orig_mod", net.module_)  # of compile=True
    if not isinstance(module, GrowingNetwork):
        raise GrowthError(
            f"the module of the net is a {type(module).__name__}: expected a GrowingNetwork, "
            "NeuralNetClassifier(compile_network, module__spec=spec, ...)"
        )
    return module


class _Criterion:
    """The loss of a net, with what it does to predictions before its criterion sees them."""

    def __init__(self, net: NeuralNet) -> None:
        self.net = net
        self.reduction = getattr(net.criterion_, "reduction", "mean")
        self.share = share_of(net.criterion_)

    def __call__(self, prediction: Any, target: Tensor) -> Tensor:
        loss: Tensor = self.net.get_loss(prediction, target, training=False)
        return loss


class _Batches:
    """The batches of a data set as the net reads them."""

    def __init__(self, net: NeuralNet, dataset: Any, *, training: bool) -> None:
        self.net, self.dataset, self.training = net, dataset, training

    def __iter__(self) -> Iterator[Any]:
        for batch in self.net.get_iterator(self.dataset, training=self.training):
            yield unpack_data(batch)

    def __len__(self) -> int:
        return len(self.net.get_iterator(self.dataset, training=self.training))

    def known_length(self) -> int:
        """The batches of an epoch.

        Raises:
            GrowthError: the iterator of the net does not say how many there are.
        """
        try:
            return len(self)
        except TypeError:
            raise GrowthError(
                "the train iterator of the net has no length, and growth takes place at shares of the training: give "
                "the data set a `__len__`, or count in epochs with `growth.when.every: 1`"
            ) from None


def _same(known: _Batches | None, net: NeuralNet, dataset: Any, *, training: bool) -> _Batches:
    """The same object as long as the data are the same: what the scheduler knows of them stays true."""
    if known is not None and known.dataset is dataset:
        return known
    return _Batches(net, dataset, training=training)
