"""`python -m gromo_graph` and the `gromo-graph` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from gromo_graph.cli import app

    app()


if __name__ == "__main__":
    main()
