"""YAML text <-> spec. No torch."""

from gromo_graph.spec.load import check_spec, load_spec, overridden, parse_spec
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.write import dump_spec

__all__ = ["Spec", "check_spec", "dump_spec", "load_spec", "overridden", "parse_spec"]
