"""`gromo-graph grow`: train a network and let it grow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.options import AsJson, Compute, Device, Log, Overrides, Seed

if TYPE_CHECKING:
    from gromo_graph.run import Run
    from gromo_graph.run.epoch_progress import OnProgress
    from gromo_graph.run.spec_source import SpecSource


@reported
def grow(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The YAML file.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|module:function",
            help="digits, iris, wine, breast_cancer, diabetes; file.npz (x, y); file.csv; or code that "
            "returns (x, y). By default what the spec names.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="The run folder; else runs/<name>-<n>."),
    ] = None,
    seed: Seed = 0,
    device: Compute = Device.auto,
    overrides: Overrides = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="N runs with the seeds from --seed on, in folders below --out, and the mean of their results.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run that --out holds.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RUN",
            help="Weights to begin with: a .safetensors file or a run; else those of the seed.",
        ),
    ] = None,
    amp: Annotated[
        bool,
        typer.Option(
            "--amp", help="Train in bfloat16 where that is precise enough; growth stays in float32."
        ),
    ] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write curves, widths and drawings for TensorBoard too."),
    ] = None,
    log: Log = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="2GB", help="What the statistics of a growth step may take; refused beforehand."
        ),
    ] = None,
    back: Annotated[
        bool,
        typer.Option("--write-back", help="Write the sizes that it grew to into SPEC too; comments stay."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, let it grow, and draw it after each step."""
    from gromo_graph.cli.followed_run import Telling, followed, tell
    from gromo_graph.cli.repeated import tell_repeated
    from gromo_graph.environment import process_rank
    from gromo_graph.run.folder.run_folder import check_free, free_path
    from gromo_graph.run.repeated import folders_of
    from gromo_graph.run.spec_source import SpecSource
    from gromo_graph.spec.text.author_file import AuthorFile

    if repeat is not None and back:
        raise typer.BadParameter(
            "--repeat and --write-back: several runs grow to several sizes, keep one of the two"
        )
    source = SpecSource.of(spec, overrides or ())
    path = free_path(source.spec.name) if out is None else out
    seeds = [seed] if repeat is None else range(seed, seed + repeat)
    paths = [path] if repeat is None else folders_of(path, seeds)
    if process_rank() == 0:  # of several processes the first one writes
        for each in paths:
            check_free(each, force=force)
    if back:
        AuthorFile.read(spec).check_writable()

    def telling_of(path: Path) -> Telling:
        board = tensorboard if tensorboard is None or repeat is None else tensorboard / path.name
        return Telling(source.spec.name, path, as_json, board, log, brief=repeat is not None)

    def made(seed: int, path: Path) -> Run | None:
        def work(on_progress: OnProgress) -> Run:
            from gromo_graph.run.entry_points import begin, command_of
            from gromo_graph.run.session import NewFolder

            command = command_of(
                source,
                data=data,
                seed=seed,
                device=device.value,
                weights=weights,
                amp=amp,
                max_memory=max_memory,
                write_back=Path(spec) if back else None,
            )
            return begin(source, command, NewFolder(path, force), data=data, on_progress=on_progress)

        return followed(telling_of(path), work)

    if repeat is not None:
        runs = [made(*each) for each in zip(seeds, paths, strict=True)]
        tell_repeated(path, seeds, [run.summary for run in runs if run is not None], json_wanted=as_json)
        return
    run = made(seed, path)
    if run is None:
        return
    if back:
        _write_back(spec, source, run)
    tell(telling_of(path), run)
    if not as_json:
        say(f"predict with it: gromo-graph predict {path} --data FILE -o out.csv")


def _write_back(spec: str, source: SpecSource, run: Run) -> None:
    from gromo_graph.spec.text.author_file import AuthorFile
    from gromo_graph.spec.text.take_over import grown

    file = AuthorFile.read(spec)  # it may have been edited during the training
    found = file.changed(grown(file.spec, source.spec, run.spec))
    file.replace(found)
    for note in found.notes:
        say(f"note: {note}")
    say(f"written back: {spec}" if found.changed else f"nothing grew that {spec} does not say")
