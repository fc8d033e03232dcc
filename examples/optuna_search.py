"""A search for the settings of a training with Optuna: the size grows by itself, the others are searched."""

import sys
from pathlib import Path

try:
    import optuna
except ImportError:
    print("skipped: Optuna is missing (pip install optuna)")
    sys.exit()

from gromo_graph import grow, load_spec

SPEC = Path(__file__).resolve().parent.parent / "specs" / "digits_mlp.yaml"


def objective(trial):
    """The validation loss of a short run; a trial that is worse than others after some epochs is broken off."""
    spec = load_spec(
        SPEC,
        overrides=[
            f"train.optimizer.lr={trial.suggest_float('lr', 1e-4, 1e-2, log=True)}",
            f"train.optimizer.weight_decay={trial.suggest_float('weight_decay', 1e-3, 1.0, log=True)}",
            f"growth.stop.parameters={trial.suggest_int('parameters', 500, 4000, step=500)}",
            "train.epochs=8",
        ],
    )

    def after_epoch(progress):
        trial.report(progress.validation["loss"], progress.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return grow(spec, on_progress=after_epoch).summary["validation"]["loss"]


study = optuna.create_study(
    direction="minimize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=3),
)
study.optimize(objective, n_trials=6)
print(f"best of {len(study.trials)}: {study.best_params}, validation loss {study.best_value:.3f}")
