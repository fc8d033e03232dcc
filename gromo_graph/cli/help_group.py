"""The command line as a whole: verbs in groups, other words for them, and errors as JSON."""

from __future__ import annotations

import inspect
from typing import Any

import typer
from typer.core import TyperGroup

from gromo_graph.cli.messages import WRONG, error_as_json
from gromo_graph.spec.wording import Suggester, folded

# UsageError, of the click that this version of typer brings or imports.
_UsageError: Any = typer.BadParameter.__mro__[1]
_AS_JSON = "gromo_graph.json"

_OTHER_WORDS = {
    **dict.fromkeys(("train", "fit", "run", "start", "learn"), "grow"),
    **dict.fromkeys(("continue", "restart", "recover"), "resume"),
    **dict.fromkeys(("init", "create", "template", "starter"), "new"),
    **dict.fromkeys(("check", "lint", "verify"), "validate"),
    **dict.fromkeys(("draw", "plot", "picture", "visualize", "visualise", "graph"), "render"),
    **dict.fromkeys(("view", "open", "report", "ui", "dashboard", "explore"), "inspect RUN --open"),
    **dict.fromkeys(("serve", "watch", "monitor"), "inspect RUN --serve"),
    **dict.fromkeys(("summary", "info", "describe", "print", "cat"), "show"),
    **dict.fromkeys(("log", "logs", "events", "journal"), "history"),
    **dict.fromkeys(("test", "eval", "score", "measure"), "evaluate"),
    **dict.fromkeys(("infer", "inference", "apply"), "predict"),
    **dict.fromkeys(("save", "convert", "onnx", "torch"), "export"),
    **dict.fromkeys(("load", "fromtorch", "read"), "import"),
    **dict.fromkeys(("set", "change", "rename", "insert", "take"), "edit SPEC"),
    **dict.fromkeys(("fork", "copy"), "branch"),
    **dict.fromkeys(("checkout", "undo", "rewind"), "replay"),
    **dict.fromkeys(("delta", "difference"), "diff"),
    **dict.fromkeys(("versus", "beside"), "compare"),
    **dict.fromkeys(("list", "ls", "leaderboard"), "runs"),
    **dict.fromkeys(("sizes", "pareto", "tradeoff"), "curve"),
    **dict.fromkeys(("choose", "shrink", "smallest"), "pick"),
    **dict.fromkeys(("candidates", "suggest", "propose"), "plan"),
    **dict.fromkeys(("prune",), "grow SPEC --set 'growth.actions=[widen,prune]'"),
    **dict.fromkeys(("env", "diagnose", "setup"), "doctor"),
    **{"help": "--help", "version": "--version", "completion": "--show-completion"},
}
"""Words that people try for a verb, with what to write behind `gromo-graph`."""

_OTHER_OPTIONS = {
    **{f"--{name}": f"--set train.{name}=..." for name in ("epochs", "loss", "schedule")},
    **dict.fromkeys(("--batch-size", "--batch_size", "--batch"), "--set train.batch_size=..."),
    **dict.fromkeys(("--lr", "--learning-rate"), "--set train.optimizer.lr=..."),
    "--optimizer": "--set train.optimizer.name=...",
    **dict.fromkeys(("--max-parameters", "--parameters", "--budget"), "--set growth.stop.parameters=..."),
    "--steps": "--set growth.stop.steps=...",
    **dict.fromkeys(("--gpu", "--cuda"), "--device cuda"),
    "--cpu": "--device cpu",
    **dict.fromkeys(("--output", "--out-dir", "--name"), "--out"),
    "--overwrite": "--force",
}
"""Options that people try with `grow`, with what to write."""


class VerbGroup(TyperGroup):
    """The verbs in the groups that their `rich_help_panel` names, each described in full."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        longest = max(map(len, names))
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            command: Any = self.get_command(ctx, name)
            described = inspect.cleandoc(command.help or "").partition("\n\n")[0]
            groups.setdefault(command.rich_help_panel, []).append((name.ljust(longest), described))
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if self.get_command(ctx, word) is None:
            meant = _OTHER_WORDS.get(folded(word))
            if meant is not None:
                ctx.fail(f"`{word}`: write `gromo-graph {meant}`")
            near = Suggester().nearest(word, [*self.list_commands(ctx), *_OTHER_WORDS])
            if near in _OTHER_WORDS:
                ctx.fail(f"`{word}`: did you mean `{near}`? Write `gromo-graph {_OTHER_WORDS[near]}`")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            meant = _OTHER_OPTIONS.get(getattr(error, "option_name", ""))
            if meant is not None and error.ctx is not None and error.ctx.info_name == "grow":
                error.message, error.possibilities = f"`{error.option_name}`: write `{meant}`", None
            if ctx.meta[_AS_JSON]:
                typer.echo(error_as_json(error.format_message(), WRONG))
            raise
