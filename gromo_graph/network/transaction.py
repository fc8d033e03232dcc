"""`edit`: several edits of a spec or a live network that take place together, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError, SpecError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.graph.edits import (
    AddAdapter,
    AddEdge,
    AddNode,
    DuplicateBlock,
    Edited,
    Edits,
    InsertBetween,
    NodeLike,
    RemoveEdge,
    RemoveNode,
    RenameNode,
    ReplaceLayer,
    Restore,
    SetFeatures,
    SetOptions,
    SetOutput,
    SetSection,
    SpecEdit,
    WidenOutputs,
    then,
)
from gromo_graph.network.draft import Draft, install
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers import (
    NewState,
    OptimizerChoice,
    OptimizerMemory,
    Optimizers,
    bring_back,
)
from gromo_graph.network.plain_weights import check_plain_weights
from gromo_graph.network.same_outputs import agree, probe_outputs, smallest_vocabulary
from gromo_graph.network.snapshot import snapshot
from gromo_graph.network.weight_transfer import any_weight, follow_spec, origins
from gromo_graph.spec import Spec, check_spec


@dataclass(frozen=True)
class Undo(Restore):
    """A network as it was: its spec, and the weights that the edit has taken out or rearranged."""

    parts: Mapping[str, torch.nn.Module] = field(default_factory=dict)
    known: OptimizerMemory | None = None
    like: Tensor | None = None


@checked
class Transaction:
    """The result of `edit`: edits as methods, or as values with `apply`.

    Attributes:
        spec: as it is after the edits so far.
        inverse: once it is over, the edit that takes it back.
        notes: for a network, why its function could not be kept.
        preserved: for a network, whether its outputs for a few random inputs are the same as before.
    """

    def __init__(self, spec: Spec) -> None:
        self._before = spec
        self._edited = Edited(spec)
        self.inverse: SpecEdit | None = None
        self.notes: tuple[str, ...] = ()
        self.preserved: bool | None = None

    @property
    def spec(self) -> Spec:
        """The spec after the edits so far."""
        return self._edited.spec

    @property
    def renamed(self) -> Mapping[str, str]:
        """The old name of each node that has a new one."""
        return self._edited.renamed

    def apply(self, edit: SpecEdit) -> Transaction:
        """Apply an edit.

        Raises:
            GraphError, SpecError: it is not possible.
        """
        self._edited = then(self._edited, edit.edited(self.spec))
        return self

    def add_node(self, name: str, node: NodeLike, read_by: Sequence[str] = ()) -> Transaction:
        """Add a node (AddNode)."""
        return self.apply(AddNode(name, node, read_by))

    def remove_node(self, name: str) -> Transaction:
        """Take a node out (RemoveNode)."""
        return self.apply(RemoveNode(name))

    def rename(self, old: str, new: str) -> Transaction:
        """Give a node another name (RenameNode)."""
        return self.apply(RenameNode(old, new))

    def connect(self, source: str, target: str, *, direct: bool = False) -> Transaction:
        """Let a node read one more (AddEdge)."""
        return self.apply(AddEdge(source, target, direct))

    def disconnect(self, source: str, target: str) -> Transaction:
        """Let a merge read one node less (RemoveEdge)."""
        return self.apply(RemoveEdge(source, target))

    def insert(self, source: str, target: str, name: str, node: NodeLike) -> Transaction:
        """Put a node on an edge (InsertBetween)."""
        return self.apply(InsertBetween(source, target, name, node))

    def set_features(self, name: str, features: int) -> Transaction:
        """Give a layer, and all that must be as wide, another width (SetFeatures)."""
        return self.apply(SetFeatures(name, features))

    def set_options(self, name: str, **options: Any) -> Transaction:
        """Give a node other options (SetOptions)."""
        return self.apply(SetOptions(name, options))

    def replace(self, name: str, node: NodeLike) -> Transaction:
        """Put another node in the place of one (ReplaceLayer)."""
        return self.apply(ReplaceLayer(name, node))

    def duplicate(self, names: Sequence[str], prefix: str = "copy.") -> Transaction:
        """Put a copy of some nodes behind them (DuplicateBlock)."""
        return self.apply(DuplicateBlock(names, prefix))

    def add_adapter(self, name: str, rank: int) -> Transaction:
        """Freeze a layer, and put an adapter beside it (AddAdapter)."""
        return self.apply(AddAdapter(name, rank))

    def widen_outputs(self, features: int, *, output: str | None = None, freeze: bool = False) -> Transaction:
        """Give the network more outputs, such as new classes (WidenOutputs)."""
        return self.apply(WidenOutputs(features, output, freeze))

    def set_output(self, *names: str, named: bool = False) -> Transaction:
        """Give the network other outputs (SetOutput)."""
        return self.apply(SetOutput(names, named))

    def set_growth(self, **values: Any) -> Transaction:
        """Change the section `growth` (SetSection)."""
        return self.apply(SetSection("growth", values))

    def set_train(self, **values: Any) -> Transaction:
        """Change the section `train` (SetSection)."""
        return self.apply(SetSection("train", values))

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()

    def commit(self) -> None:
        """Check the result as a whole, and make it real.

        Raises:
            SpecError: with every problem; nothing has changed.
        """
        problems = check_spec(self.spec)
        if problems:
            raise SpecError(problems)
        back = {old: new for new, old in self._edited.renamed.items()}
        self.inverse = Restore(self._before, back)


class NetworkTransaction(Transaction):
    """A transaction on a live network: weights and optimizer follow."""

    def __init__(
        self,
        network: GrowingNetwork,
        optimizers: Optimizers,
        generator: torch.Generator | None,
        new_state: NewState,
    ) -> None:
        super().__init__(network.spec)
        self.network, self.optimizers, self.generator = network, optimizers, generator
        self.new_state: NewState = new_state
        self._undo: Undo | None = None
        self._since = self._edited

    def apply(self, edit: SpecEdit) -> Transaction:
        """Apply an edit.

        Raises:
            GraphError, SpecError: it is not possible.
        """
        if isinstance(edit, Edits):
            before = self._edited, self._undo, self._since
            try:
                for each in edit.edits:
                    self.apply(each)
            except Exception:
                self._edited, self._undo, self._since = before
                raise
            return self
        super().apply(edit)
        if isinstance(edit, Undo):  # whatever was done before it is gone with it
            self._undo, self._since = edit, Edited(edit.spec)
        else:
            self._since = then(self._since, edit.edited(self._since.spec))
        return self

    def commit(self) -> None:
        """Check the result as a whole, and make it real: spec, weights and optimizer.

        Raises:
            SpecError: with every problem; the network is as it was, to the bit.
        """
        super().commit()
        network = self.network
        if self.spec is network.spec:
            self.preserved = True
            return
        assert isinstance(self.inverse, Restore)
        like = any_weight(network).detach()[:0]
        was = snapshot(network, self.optimizers)
        known = was.optimizers if self.optimizers else None
        memory = Undo(self._before, self.inverse.renamed, dict(network.parts), known, like)
        try:
            self._make()
        except BaseException:
            was.restore(network, self.optimizers)
            self.inverse, self.notes, self.preserved = None, (), None
            raise
        self.inverse = memory

    def _make(self) -> None:
        network, undo = self.network, self._undo
        tokens = smallest_vocabulary(network.spec, self.spec)  # the same ids before and after
        before, reasons = probe_outputs(network, tokens), []
        if undo is not None:
            _recast(undo, network)
            gone = set(network.parameters())
            install(network, Draft(GrowingNetwork(build_graph(undo.spec), undo.parts)))
            if undo.known is not None and self.optimizers:
                bring_back(self.optimizers, undo.known, gone=gone, overwrite=False)
        if self._since.spec is not network.spec:
            reasons = self._follow(build_graph(self.spec))
        self.preserved = agree(before, probe_outputs(network, tokens))
        if not self.preserved and not self.notes:
            self.notes = tuple(reasons) or ("the network computes something else now",)

    def _follow(self, graph: Graph) -> list[str]:
        network, edited = self.network, self._since
        followed = follow_spec(network, graph, edited, self.generator)
        draft = GrowingNetwork(graph, followed.parts)
        known = {inner for part in followed.parts.values() for inner in part.modules()}
        for module in draft.modules():
            if module not in known:
                module.training = network.training
        install(
            network,
            Draft(draft, tuple(followed.changes), origins(network, edited, followed)),
            optimizers=self.optimizers,
            new_state=self.new_state,
        )
        self.notes = tuple(followed.notes)
        return followed.reasons


@checked
def edit(
    target: Spec | GrowingNetwork,
    *,
    optimizer: OptimizerChoice = None,
    generator: torch.Generator | None = None,
    new_state: NewState = "matched",
) -> Transaction:
    """Edit a spec or a live network: all edits of the block take place together at its end, or none does.

    On a network weights are kept. What can be added without a change of the function is: new edges begin with weights
    of 0, inserted layers as the identity, new features with weights of 0 behind them. `preserved` says whether the
    network computes what it did, `notes` why not; `inverse` takes everything back.

    Args:
        target: a spec stays as it is, the result is `e.spec`; a network changes in place.
        optimizer: one or several, which follow the network.
        new_state: what they know of new entries (growth.optimizer_state).
        generator: for the first weights of new layers; None draws them from torch's global one.

    Raises:
        GraphError, SpecError: an edit, or the result, is not possible; nothing has changed.

    >>> from gromo_graph import edit, parse_spec
    >>> spec = parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [4]}
    ...   y: {kind: linear, from: x, features: 2}
    ... output: y
    ... ''')
    >>> with edit(spec) as e:
    ...     _ = e.insert("x", "y", "h", {"kind": "linear", "features": 8, "activation": "relu"})
    >>> list(e.spec.nodes), e.inverse.spec_of(e.spec) == spec
    (['x', 'h', 'y'], True)
    """
    if isinstance(target, Spec):
        return Transaction(target)
    if isinstance(target, GrowingNetwork):
        check_plain_weights(target)
        return NetworkTransaction(target, Optimizers(optimizer), generator, new_state)
    raise GraphError(f"cannot edit a {type(target).__name__}: expected a spec or a network")


def _recast(undo: Undo, network: GrowingNetwork) -> None:
    """Move the parts that were out of the network while it got another device or dtype."""
    now, was = any_weight(network), undo.like
    if was is None or (now.device, now.dtype) == (was.device, was.dtype):
        return
    there = {inner for part in network.parts.values() for inner in part.modules()}
    for part in undo.parts.values():
        like = next(part.parameters(), None)
        if part not in there and like is not None and (like.device, like.dtype) == (was.device, was.dtype):
            part.to(device=now.device, dtype=now.dtype)
