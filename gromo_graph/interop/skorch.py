"""GrowthCallback for skorch: the network of a NeuralNet grows while it is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.growth import GrowthScheduler
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.spec.settings import Growth

try:
    from skorch import NeuralNet
    from skorch.callbacks import Callback
    from skorch.dataset import unpack_data
except ImportError as error:
    raise ImportError("skorch is missing: pip install 'gromo_graph[skorch]'") from error


class GrowthCallback(Callback):  # type: ignore[misc]
    """Calls a GrowthScheduler at the end of each epoch; the optimizer follows, the history gets `parameters`.

    The module of the net is a GrowingNetwork: `NeuralNetClassifier(compile_network, module__spec=spec, ...)`. Its loss
    is the criterion of the net. What grows is decided by the validation data that the net splits off.

    Args:
        policy: when, where and how much grows; None takes the `growth` section of the network's spec.
        on_event: called with each GrowthEvent.

    Attributes:
        events_: every growth step that was tried. scheduler_: the GrowthScheduler; pickles of a net leave it out.

    Raises:
        ImportError: when this module is imported and skorch is not installed.

    >>> sorted(GrowthCallback().get_params())
    ['on_event', 'policy']
    """

    events_: list[GrowthEvent]
    scheduler_: GrowthScheduler | None

    def __init__(
        self, policy: Growth | None = None, on_event: Callable[[GrowthEvent], None] | None = None
    ) -> None:
        self.policy = policy
        self.on_event = on_event

    def initialize(self) -> GrowthCallback:
        """A net that is initialised begins anew."""
        self.events_, self.scheduler_ = [], None
        return self

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """One step of the scheduler.

        Raises:
            GrowthError: the module is no GrowingNetwork, or the net holds out no data; or as for
                `GrowthScheduler.step`.
        """
        if dataset_valid is None:
            raise GrowthError(
                "the net has train_split=None, and growth is decided by samples that are held out: give it a split, "
                "such as skorch.dataset.ValidSplit(5)"
            )
        if self.scheduler_ is None or self.scheduler_.network is not net.module_:
            self.scheduler_ = self._scheduler(net)
            self._train = self._valid = None
        self.scheduler_.optimizer = net.optimizer_  # a changed parameter of the net makes it a new one
        self._train = _same(self._train, net, dataset_train, training=True)
        self._valid = _same(self._valid, net, dataset_valid, training=False)
        self.scheduler_.step(self._train, self._valid)
        net.history.record("parameters", self.scheduler_.network.graph.parameter_count)

    def __getstate__(self) -> dict[str, Any]:
        passing = {"scheduler_": None, "_train": None, "_valid": None}
        return {name: passing.get(name, value) for name, value in vars(self).items()}

    def _scheduler(self, net: NeuralNet) -> GrowthScheduler:
        if not isinstance(net.module_, GrowingNetwork):
            raise GrowthError(
                f"the module of the net is a {type(net.module_).__name__}: expected a GrowingNetwork, "
                "NeuralNetClassifier(compile_network, module__spec=spec, ...)"
            )
        return GrowthScheduler(
            net.module_, _Criterion(net), policy=self.policy, epochs=net.max_epochs, on_event=self._tell
        )

    def _tell(self, event: GrowthEvent) -> None:
        self.events_.append(event)
        if self.on_event is not None:
            self.on_event(event)


class _Criterion:
    """The loss of a net, with what it does to predictions before its criterion sees them."""

    def __init__(self, net: NeuralNet) -> None:
        self.net = net
        self.reduction = getattr(net.criterion_, "reduction", "mean")

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


def _same(known: _Batches | None, net: NeuralNet, dataset: Any, *, training: bool) -> _Batches:
    """The same object as long as the data are the same: what the scheduler knows of them stays true."""
    if known is not None and known.dataset is dataset:
        return known
    return _Batches(net, dataset, training=training)
