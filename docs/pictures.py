"""Draw the pictures of the README: one growth step of the digits network, and a residual network before growth."""

from pathlib import Path

from gromo_graph import grow, load_spec, parse_spec, render

ROOT = Path(__file__).resolve().parent.parent
STEP = 5


def main() -> None:
    """Grow the demo network in memory and draw its fifth step; the same seed gives the same picture."""
    run = grow(ROOT / "specs" / "digits_mlp.yaml", seed=0)
    applied = [event for event in run.events if event.decision is not None]
    event = applied[STEP - 1]
    render(parse_spec(event.spec), ROOT / "docs" / "growth.svg", event=event)
    render(load_spec(ROOT / "specs" / "digits_residual.yaml"), ROOT / "docs" / "residual.svg")


if __name__ == "__main__":
    main()
