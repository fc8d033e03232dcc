"""Multiply-adds of a whole run: training by the sizes that the network had, deciding by watching the scheduler.

A mode that sees every operation of torch makes a small run three times as slow. So it is switched on in the calls of
the scheduler alone. A training step costs what the network of that moment costs a sample, measured once for each size
that the network had; hooks of torch's optimizers say how many steps each size was trained for. `--exact` has the mode
on for the whole run, to check that both agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any
from unittest.mock import patch

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gromo_graph import GrowthScheduler, Spec, compile_network, dump_spec, parse_spec

# The methods of the scheduler that a training loop calls.
_CALLS = ("step", "after_batch", "plan", "apply")


def _cubic(factor: float) -> Callable[..., int]:
    return lambda matrix, *_, **__: int(
        factor * matrix.shape[-1] * matrix.shape[-2] * min(matrix.shape[-2:]) * matrix.shape[:-2].numel()
    )


# Floating point operations that torch's table does not know: sums in place, and solvers by their leading term.
_FURTHER: dict[Any, Callable[..., int]] = {
    torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a.shape[0] * a.shape[1] * b.shape[1],
    torch.ops.aten.baddbmm_: lambda _, a, b, **__: 2 * a.shape.numel() * b.shape[-1],
    torch.ops.aten.mv: lambda a, b, **__: 2 * a.numel(),
    torch.ops.aten.dot: lambda a, b, **__: 2 * a.numel(),
    torch.ops.aten.linalg_cholesky_ex: _cubic(1 / 3),
    torch.ops.aten.linalg_inv_ex: _cubic(2.0),
    torch.ops.aten.linalg_lu_factor_ex: _cubic(2 / 3),
    torch.ops.aten._linalg_solve_ex: _cubic(2 / 3),
    torch.ops.aten._linalg_eigh: _cubic(9.0),
    torch.ops.aten._linalg_svd: _cubic(9.0),
    torch.ops.aten.linalg_qr: _cubic(4 / 3),
    torch.ops.aten.linalg_solve_triangular: lambda a, b, **__: a.shape[-1] * b.numel(),
    torch.ops.aten.cholesky_solve: lambda b, a, **__: 2 * a.shape[-1] * b.numel(),
}
_FLOPS = {**flop_registry, **_FURTHER}


class MultiplyAdds(TorchDispatchMode):
    """Counts multiply-adds of matrix products, convolutions and solvers.

    Attributes:
        count: so far. active: whether it is counting now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0.0
        self.active = False

    def __enter__(self) -> Any:
        self.active = True
        return super().__enter__()

    def __exit__(self, *reason: Any) -> None:
        self.active = False
        super().__exit__(*reason)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        flops = _FLOPS.get(func._overloadpacket)
        if flops is not None:
            self.count += flops(*args, **(kwargs or {}), out_val=result) / 2
        return result


@dataclass
class Meter:
    """The part of a run that multiply-adds depend on.

    Attributes:
        deciding: counts inside the scheduler. steps: training steps by the parameters that the optimizer held.
    """

    deciding: MultiplyAdds = field(default_factory=MultiplyAdds)
    steps: Counter[int] = field(default_factory=Counter)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all schedulers and optimizers."""
        hook = register_optimizer_step_post_hook(self._after_step)
        try:
            with ExitStack() as patches:
                for name in _CALLS:
                    original = getattr(GrowthScheduler, name, None)
                    if original is not None:
                        patches.enter_context(patch.object(GrowthScheduler, name, self._counted(original)))
                yield
        finally:
            hook.remove()

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            if self.deciding.active:  # one call inside another
                return original(*arguments, **options)
            with self.deciding:
                return original(*arguments, **options)

        return call

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        held = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self.steps[sum(parameter.numel() for parameter in held)] += 1


def training_madds(spec: Spec) -> float:
    """Multiply-adds of forward and backward of one sample."""
    return _training_madds(dump_spec(spec))


@cache
def _training_madds(text: str) -> float:
    network = compile_network(parse_spec(text), seed=0)
    x = torch.zeros(4, *network.graph.shapes[network.spec.inputs[0]])
    with MultiplyAdds() as counter:
        network(x).sum().backward()
    return counter.count / len(x)
