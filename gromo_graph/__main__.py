"""`python -m gromo_graph` and the `gromo-graph` command."""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command line."""
    # A verb that draws is over in half a second, most of it imports, whose objects are no garbage: look for
    # garbage less often, and do not search the installed packages for plugins of pydantic.
    gc.set_threshold(100_000, 20, 20)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from gromo_graph.cli import app

    app()


if __name__ == "__main__":
    main()
