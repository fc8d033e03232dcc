"""Checkpoints: all that a run needs to go on as if it had never been broken off. Safetensors and JSON, no code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from gromo_graph.errors import RunError, SpecError
from gromo_graph.network.optimizers import BORN, OLD, check_births
from gromo_graph.records.atomic_files import replace_file, writing
from gromo_graph.records.validation import first_problem
from gromo_graph.run.folder.own_files import CHECKPOINTS
from gromo_graph.run.folder.sealed_tensors import sealed, unsealed
from gromo_graph.spec import Spec
from gromo_graph.statistics.saved_statistics import Snapshot

VERSION = 1
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A run after an epoch.

    Attributes:
        epoch: how many are done. lines: of the journal, up to here. spec: the YAML text of the network.
        parts: network, optimizer, scheduler and random states, by name.
    """

    epoch: int
    lines: int
    spec: str
    parts: Mapping[str, Snapshot]

    def spec_of(self, path: Path, parse: Callable[[str], Spec]) -> Spec:
        """The spec of the network.

        Raises:
            RunError: it is none.
        """
        try:
            return parse(self.spec)
        except SpecError as error:
            raise RunError(f"{path}: this checkpoint is damaged: its spec: {error}") from error


class _Plain(BaseModel):
    """The JSON part of a checkpoint, beside its tensors."""

    model_config = ConfigDict(frozen=True, strict=True)

    version: int
    epoch: int = Field(ge=0)
    lines: int = Field(ge=1)
    spec: str
    parts: dict[str, dict[str, Any]]


def write_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Put a checkpoint into the folder of a run, on the disk before this returns; the older ones but one are removed.

    Raises:
        RunError: it cannot be written; what was there is still there.
    """
    folder = run / CHECKPOINTS
    with writing(folder):
        folder.mkdir(exist_ok=True)
    path = folder / f"{checkpoint.epoch:06d}.safetensors"
    tensors = {
        f"{part}/{name}": tensor
        for part, snapshot in checkpoint.parts.items()
        for name, tensor in snapshot.tensors.items()
    }
    plain = {
        "version": VERSION,
        "epoch": checkpoint.epoch,
        "lines": checkpoint.lines,
        "spec": checkpoint.spec,
        "parts": {part: snapshot.plain for part, snapshot in checkpoint.parts.items()},
    }
    replace_file(path, sealed(tensors, {"gromo_graph": json.dumps(plain)}))
    with writing(folder):
        for old in checkpoints(run)[:-_KEPT]:
            old.unlink(missing_ok=True)
    return path


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted((run / CHECKPOINTS).glob("[0-9]*.safetensors"))


def remove_checkpoints(run: Path) -> None:
    """A run that is over needs none."""
    for path in checkpoints(run):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        (run / CHECKPOINTS).rmdir()


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint; nothing of it is run.

    Raises:
        RunError: it is damaged, or no checkpoint of this version.
    """
    try:
        tensors, words = unsealed(path)
        plain = _Plain.model_validate_json(words["gromo_graph"])
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such checkpoint") from error
    except ValidationError as error:
        raise RunError(f"{path}: this is no whole checkpoint: {first_problem(error)}") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: this is no whole checkpoint: {error!r}") from error
    if plain.version != VERSION:
        raise RunError(f"{path}: this checkpoint has version {plain.version}, this release reads {VERSION}")
    parts = {part: Snapshot(values, _tensors_of(tensors, part)) for part, values in plain.parts.items()}
    return Checkpoint(plain.epoch, plain.lines, plain.spec, parts)


def _tensors_of(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, by their names in it."""
    own = f"{part}/"
    return {name.removeprefix(own): tensor for name, tensor in tensors.items() if name.startswith(own)}


def saved_network(network: torch.nn.Module) -> Snapshot:
    """Weights and running statistics, and which weights are trained."""
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    return Snapshot({"frozen": frozen}, dict(network.state_dict()))


def restore_network(network: torch.nn.Module, snapshot: Snapshot) -> None:
    """The same, into a network of the same sizes."""
    network.load_state_dict(dict(snapshot.tensors))
    frozen = set(snapshot.plain["frozen"])
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)


def saved_optimizer(optimizer: torch.optim.Optimizer, network: torch.nn.Module) -> Snapshot:
    """Groups with the names of their parameters, in their order, and the state of each."""
    names: dict[Any, str] = {parameter: name for name, parameter in network.named_parameters()}
    groups = [
        {
            "params": [names[parameter] for parameter in group["params"]],
            "options": {key: _plain(value) for key, value in group.items() if key != "params"},
        }
        for group in optimizer.param_groups
    ]
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{names[parameter]}/{key}"] = value
            else:
                plain.setdefault(names[parameter], {})[key] = value
    return Snapshot({"groups": groups, "state": plain}, tensors)


def restore_optimizer(optimizer: torch.optim.Optimizer, network: torch.nn.Module, snapshot: Snapshot) -> None:
    """The same, into an optimizer of the same kind.

    Raises:
        KeyError, TypeError, ValueError: the snapshot is that of another optimizer, or damaged.
    """
    parameters = dict(network.named_parameters())
    _check_state(parameters, snapshot)
    for group, saved in zip(optimizer.param_groups, snapshot.plain["groups"], strict=True):
        group["params"][:] = [parameters[name] for name in saved["params"]]
        group.update({key: _value(value) for key, value in saved["options"].items()})
    optimizer.state.clear()
    for name, values in snapshot.plain["state"].items():
        optimizer.state[parameters[name]].update(values)
    for place, tensor in snapshot.tensors.items():
        name, _, key = place.rpartition("/")
        like = parameters[name]
        # A step counter stays on the CPU, as torch keeps it.
        optimizer.state[like][key] = tensor.to(like.device) if tensor.dim() else tensor.clone()


def _check_state(parameters: Mapping[str, Tensor], snapshot: Snapshot) -> None:
    """Refuse states that no optimizer can go on from.

    All parameters with a state have the same entries: each a number, of the parameter's shape and dtype, or births.
    """
    entries: dict[str, set[str]] = {}
    for name, values in snapshot.plain["state"].items():
        entries[name] = set(values) - {BORN, OLD}
        for marks in {BORN, OLD} & set(values):
            check_births(values[marks], parameters[name], some=marks == BORN)
    for place, tensor in snapshot.tensors.items():
        name, _, key = place.rpartition("/")
        like = parameters[name]
        counter = tensor.dim() == 0 and tensor.is_floating_point()
        if not counter and (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
            raise ValueError(f"{place} is {tuple(tensor.shape)}, {tensor.dtype}")
        entries.setdefault(name, set()).add(key)
    if len({frozenset(keys) for keys in entries.values() if keys}) > 1:
        raise ValueError("parameters have other states than each other")


def _plain(value: Any) -> Any:
    return {"tuple": list(value)} if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    return tuple(value["tuple"]) if isinstance(value, dict) else value


def saved_chance(device: torch.device) -> Snapshot:
    """Torch's random states, from which dropout draws."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return Snapshot({}, tensors)


def restore_chance(snapshot: Snapshot, device: torch.device) -> None:
    """The same; of another kind of device what there is."""
    torch.set_rng_state(snapshot.tensors["cpu"])
    if device.type == "cuda" and "cuda" in snapshot.tensors:
        torch.cuda.set_rng_state(snapshot.tensors["cuda"], device)
