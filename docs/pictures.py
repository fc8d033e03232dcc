"""Draw the pictures of the README: a growth step of the digits network, and one of a residual network."""

from pathlib import Path

from gromo_graph import grow, parse_spec, render

ROOT = Path(__file__).resolve().parent.parent
# The step to draw of each spec, and where.
STEPS = {"digits_mlp": (5, "growth.svg"), "digits_residual": (3, "residual.svg")}


def main() -> None:
    """Grow the networks in memory and draw a step of each; the same seed gives the same picture."""
    for name, (step, picture) in STEPS.items():
        run = grow(ROOT / "specs" / f"{name}.yaml", seed=0)
        event = [event for event in run.events if event.decision is not None][step - 1]
        render(parse_spec(event.spec), ROOT / "docs" / picture, event=event)


if __name__ == "__main__":
    main()
