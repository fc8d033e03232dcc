"""Public PyTorch models as they are built, without trained weights: how many come in, and how much of them grows.

    python benchmarks/models.py [--library timm] [--only tv.resnet18 ...] [--jobs 1] [--plan] [--grow] [--obstacles]
                                [--markdown FILE]

Needs torchvision, timm, transformers and segmentation-models-pytorch, in an environment of their own (PyPI's
torchvision needs its own torch): models of a library that is not installed are left out. Each model is built and
imported in a process of its own. Parameters and running statistics that are the same everywhere are drawn at random
first, as training would leave them: a layer scale of 1e-6 would hide what the import makes of the layers before it.

The columns: `whole`, `fixed` (with how many calls kept as they are) or `fails`; the share of the parameters that belong
to layers which some growth widens; the width groups that may grow, of all (the width of an output never does); the
largest difference between the outputs of model and network; the CPU seconds of the import; and with --plan the time of
a plan over that of a forward and backward pass of the same samples.

With --grow models that come in whole are grown, in float64: another table has the candidates of a plan that have a
slope; the largest error of some of these slopes against differences of the loss; the groups that grew by units that
change nothing yet, and by how much they changed the outputs; whether the steepest candidate lowers the loss; and the
largest difference between the outputs of the networks that have grown and of the plain models that are exported.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import importlib.util
import json
import os
import re
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.models_growth import Grown

TORCHVISION = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit mnasnet0_5 "
    "mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d "
    "shufflenet_v2_x0_5 squeezenet1_1 swin_t vgg11_bn vit_b_16 wide_resnet50_2"
)
SEGMENTATION = "deeplabv3_resnet50 fcn_resnet50 lraspp_mobilenet_v3_large"
TIMM = (
    "caformer_s18 cait_xxs24_224 coatnet_pico_rw_224 convnext_atto deit_tiny_distilled_patch16_224 densenet121 "
    "fastvit_t8 ghostnet_050 hrnet_w18_small mixer_s32_224 mobilenetv2_050 mobileone_s0 mobilevit_xxs nfnet_l0 "
    "poolformer_s12 regnetx_002 repvgg_a0 resmlp_12_224 resnet18 resnetv2_50 rexnet_100 selecsls42b tinynet_e"
)
SMP = "fpn_resnet18 linknet_resnet18 unet_resnet18"
TRANSFORMERS = (
    "AlbertModel BertForMaskedLM BertModel DistilBertModel ElectraModel GPT2LMHeadModel GPT2Model GPTNeoXModel "
    "GemmaModel LlamaForCausalLM LlamaModel MistralModel OPTForCausalLM Qwen2Model RobertaModel"
)
MODELS = (
    *(f"tv.{name}" for name in TORCHVISION.split()),
    *(f"seg.{name}" for name in SEGMENTATION.split()),
    *(f"timm.{name}" for name in TIMM.split()),
    *(f"smp.{name}" for name in SMP.split()),
    *(f"hf.{name}" for name in TRANSFORMERS.split()),
)
"""The models of the table; --only takes others of the same libraries too. Those of transformers are small ones."""

LIBRARIES = {
    "tv": "torchvision",
    "seg": "torchvision",
    "timm": "timm",
    "smp": "segmentation_models_pytorch",
    "hf": "transformers",
}
_SIZES = {"tv.inception_v3": 128, "tv.maxvit": 224, "tv.vit_b_16": 224, "timm.coatnet_pico_rw_224": 224}
_SIZE = 64


@dataclass(frozen=True)
class Row:
    """A model in the table.

    Attributes:
        result: `whole`, `fixed` or `fails`. fixed: calls kept as they are. share: of the parameters that can grow.
        free, groups: width groups that may grow, and all. difference: of outputs, the largest. seconds: of CPU, for
            the import. plan: the time of a plan over that of a forward and backward pass; None if not measured.
        grown: how it grew; None if that was not tried. obstacles: of the model as a whole.
    """

    name: str
    result: str = "fails"
    fixed: int = 0
    share: float = 0.0
    free: int = 0
    groups: int = 0
    difference: float = float("nan")
    seconds: float = float("nan")
    plan: float | None = None
    grown: Grown | None = None
    obstacles: tuple[str, ...] = ()


def size_of(name: str) -> int:
    """Height and width of the images that a model takes: what its name or class asks for, else small ones."""
    return 224 if name.endswith("_224") else _SIZES.get(name, _SIZE)


def build(name: str) -> Any:
    """The module of a name, with its first weights."""
    library, _, model = name.partition(".")
    if library in ("tv", "seg"):
        import torchvision

        home = torchvision.models if library == "tv" else torchvision.models.segmentation
        given: dict[str, Any] = {"input_size": (224, 224)} if model == "maxvit" else {}
        given |= {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
        given |= {"weights_backbone": None} if library == "seg" else {}
        make = home.maxvit_t if model == "maxvit" else getattr(home, model)
        return make(weights=None, **given)
    if library == "timm":
        import timm

        return timm.create_model(model, pretrained=False)
    if library == "smp":
        import segmentation_models_pytorch as smp

        decoder, encoder = model.split("_", 1)
        return smp.create_model(decoder, encoder, encoder_weights=None)
    return _of_transformers(model)


def _of_transformers(name: str) -> Any:
    """A small model of a class of transformers, e.g. `BertModel`."""
    import transformers

    kind = getattr(transformers, name)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    sizes |= {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "num_key_value_heads": 2}
    return kind(kind.config_class(**sizes))


def stir(model: Any) -> None:
    """Draw anew, near what they are, parameters and running statistics that have the same value everywhere."""
    import torch

    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if (
                tensor.is_floating_point()
                and tensor.numel() > 1
                and bool((tensor == tensor.flatten()[0]).all())
            ):
                tensor += 0.2 * torch.rand_like(tensor)


def measured(name: str, *, plan: bool, growth: bool) -> Row:
    """Build a model, import it and compare; if asked, plan and grow it."""
    import torch

    from benchmarks.models_growth import grow, largest_difference
    from gromo_graph import TorchImportError, from_torch
    from gromo_graph.graph.growability import obstacle
    from gromo_graph.interop.traces.trace import without_extras

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(name)
    stir(model)
    model.eval()
    library = name.partition(".")[0]
    size = size_of(name)
    x = torch.randint(100, (2, 12)) if library == "hf" else torch.randn(2, 3, size, size)
    obstacles: tuple[str, ...] = ()
    network = None
    for allow_fixed in (False, True):
        begin = time.process_time()
        try:
            network = from_torch(model, x, allow_fixed=allow_fixed)
        except TorchImportError as error:
            obstacles = obstacles or tuple(map(str, error.obstacles))
        seconds = time.process_time() - begin
        if network is not None:
            break
    if network is None:
        return Row(name, seconds=seconds, obstacles=obstacles)
    graph = network.graph
    fixed = sum(node.kind == "fixed" for node in network.spec.nodes.values())
    with torch.no_grad():
        difference = largest_difference(network(x), without_extras(model(x)))
    return Row(
        name,
        "fixed" if fixed else "whole",
        fixed,
        network.growing_share,
        sum(obstacle(graph, group) is None for group in graph.groups),
        len(graph.groups),
        difference,
        seconds,
        _plan_ratio(model, network, x) if plan else None,
        grow(network, x) if growth and not fixed else None,
        obstacles,
    )


def _plan_ratio(model: Any, network: Any, x: Any) -> float:
    """The time of a plan over that of a forward and backward pass of the model, with the same 16 samples."""
    import torch

    from benchmarks.models_growth import mean_loss, outputs_of
    from gromo_graph import GrowthScheduler

    inputs = [x[:1].expand(4, *x.shape[1:]).clone() for _ in range(4)]
    samples = [(each + 0.1 * torch.randn_like(each), torch.randn(4)) for each in inputs]
    begin = time.perf_counter()
    for each, target in samples:
        mean_loss(outputs_of(model(each))[0], target).backward()
    passes = time.perf_counter() - begin
    scheduler = GrowthScheduler(network, mean_loss, epochs=4)
    begin = time.perf_counter()
    scheduler.plan(samples)
    return (time.perf_counter() - begin) / passes


# The processes, and the table


def in_a_process(name: str, *, limit: float, plan: bool, growth: bool) -> Row:
    """The row of a model that is built and imported in a process of its own."""
    command = [sys.executable, __file__, "--one", name, *["--plan"][: int(plan)], *["--grow"][: int(growth)]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sys.path[0]}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
    except subprocess.TimeoutExpired:
        return Row(name, obstacles=(f"it was ended after {limit:g} s",))
    if done.returncode:
        return Row(name, obstacles=((done.stderr.strip().splitlines() or ["no message"])[-1],))
    told = json.loads(done.stdout.splitlines()[-1])
    told["obstacles"] = tuple(told["obstacles"])
    if told["grown"] is not None:
        from benchmarks.models_growth import Grown

        told["grown"] = Grown(**told["grown"])
    return Row(**told)


HEADER = (
    "model",
    "result",
    "fixed",
    "parameters that grow",
    "groups that may grow",
    "difference",
    "import (CPU s)",
)


def cells(row: Row) -> tuple[str, ...]:
    """The row as the table has it."""
    if row.result == "fails":
        return (row.name, row.result, "", "", "", "", f"{row.seconds:.1f}")
    found = (
        row.name,
        row.result,
        str(row.fixed or ""),
        f"{row.share:.0%}",
        f"{row.free} of {row.groups}",
        f"{row.difference:.0e}",
        f"{row.seconds:.1f}",
    )
    return found if row.plan is None else (*found, f"{row.plan:.1f}")


def sorts_of(obstacles: Sequence[str]) -> list[str]:
    """The first of those obstacles that differ in the module and its sizes alone."""
    found: dict[str, str] = {}
    for each in obstacles:
        reason = each.partition(": ")[2].partition(";")[0]
        found.setdefault(re.sub(r"\d+", "", reason), each.splitlines()[0])
    return list(found.values())


def total(rows: list[Row]) -> str:
    """The sums in a sentence, and the largest numbers."""
    count = {result: sum(row.result == result for row in rows) for result in ("whole", "fixed", "fails")}
    free, groups = sum(row.free for row in rows), sum(row.groups for row in rows)
    known = [row for row in rows if row.result != "fails"]
    difference = max((row.difference for row in known), default=0.0)
    seconds = max(row.seconds for row in rows)
    return (
        f"{len(rows)} models: {count['whole']} come in whole, {count['fixed']} with calls kept as they are, "
        f"{count['fails']} not at all; {free} of {groups} width groups ({free / max(1, groups):.0%}) may grow; the "
        f"largest difference is {difference:.0e}, the longest import took {seconds:.0f} s of CPU"
    )


def totals(rows: list[Row]) -> list[str]:
    """The sums for models of images, and for those of language."""
    of_language = [row.name.startswith("hf.") for row in rows]
    parts = (
        [row for row, is_so in zip(rows, of_language, strict=True) if is_so == wanted]
        for wanted in (False, True)
    )
    return [total(part) for part in parts if part]


def markdown(rows: list[Row]) -> str:
    """The table as a document has it."""
    header = (*HEADER, "plan / pass") if any(row.plan is not None for row in rows) else HEADER
    lines = [header, ("---",) * len(header), *map(cells, rows)]
    sums = [f"{each}.\n" for each in totals(rows)]
    return "\n".join((*(f"| {' | '.join(line)} |" for line in lines), "", *sums, *grown_lines(rows)))


def grown_lines(rows: list[Row]) -> list[str]:
    """The table of the models that were grown, as a document has it; empty if none was."""
    found = [(row.name, row.grown) for row in rows if row.grown is not None]
    header = ("model", "slopes", "error", "groups widened", "outputs changed", "loss falls", "export differs")
    lines = [
        header,
        ("---",) * len(header),
        *(
            (
                name,
                str(grown.slopes),
                f"{grown.off:.0e}" if grown.slopes else "",
                str(grown.widened),
                f"{grown.changed:.0e}",
                "yes" if grown.steps else "no" if grown.slopes else "",
                f"{grown.exported:.0e}",
            )
            for name, grown in found
        ),
    ]
    return [f"| {' | '.join(line)} |" for line in lines] if found else []


def chosen_models(library: str | None, only: list[str] | None) -> Iterator[str]:
    """Those of installed libraries; of others it is told that they are left out."""
    for name in only or MODELS:
        prefix = name.partition(".")[0]
        if library in (None, prefix):
            if importlib.util.find_spec(LIBRARIES[prefix]) is None:
                print(f"{name}: {LIBRARIES[prefix]} is not installed")
            else:
                yield name


def main() -> int:
    """Print the table; 1 if a model fails or differs."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--library", choices=LIBRARIES)
    options.add_argument("--only", nargs="+", metavar="NAME")
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--limit", type=float, default=300, help="seconds for a model")
    options.add_argument("--plan", action="store_true", help="also time a plan")
    options.add_argument(
        "--grow", action="store_true", help="also grow models that come in whole, and compare"
    )
    options.add_argument("--obstacles", action="store_true", help="print what stands in the way")
    options.add_argument("--markdown", type=Path, help="a file for the table")
    options.add_argument("--one", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(asdict(measured(chosen.one, plan=chosen.plan, growth=chosen.grow))))
        return 0
    names = list(chosen_models(chosen.library, chosen.only))
    widths = (34, 6, 5, 20, 20, 10, 14)
    print("  ".join(text.ljust(width) for text, width in zip(HEADER, widths, strict=True)))

    def row_of(name: str) -> Row:
        return in_a_process(name, limit=chosen.limit, plan=chosen.plan, growth=chosen.grow)

    rows: list[Row] = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for row in pool.map(row_of, names):
            rows.append(row)
            print(
                "  ".join(text.ljust(width) for text, width in zip(cells(row), widths, strict=False)),
                flush=True,
            )
            for obstacle in sorts_of(row.obstacles) if chosen.obstacles else ():
                print(f"    {obstacle[:200]}")
    print(*totals(rows), *grown_lines(rows), sep="\n")
    if chosen.markdown:
        chosen.markdown.write_text(markdown(rows), encoding="utf-8")
    return int(any(row.result == "fails" or row.difference > 1e-5 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
