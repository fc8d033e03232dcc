"""Node names as keys of torch containers, which refuse some texts that a spec allows."""

from __future__ import annotations

import re

import torch

_OF_THE_CONTAINER = frozenset((*dir(torch.nn.ModuleDict), *vars(torch.nn.ModuleDict())))


def module_key(name: str) -> str:
    """An escaped form of a name, readable and different for different names.

    Torch keys hold no dot and may not be the name of an attribute of the container: a percent sign and a dot
    are percent-encoded, and a name the container uses itself gets a percent sign at its end.

    >>> [module_key(name) for name in ("stem", "a.b", "keys", "50%")]
    ['stem', 'a%2Eb', 'keys%', '50%25']
    """
    key = name.replace("%", "%25").replace(".", "%2E")
    return f"{key}%" if key in _OF_THE_CONTAINER else key


def unescaped(key: str) -> str:
    """The node name of a key, or the name of a tensor with such a key in it, for people to read.

    >>> unescaped("a%2Eb"), unescaped("keys%"), unescaped("50%25"), unescaped("nodes.y%2Enew.layer.bias")
    ('a.b', 'keys', '50%', 'nodes.y.new.layer.bias')
    """
    return re.sub(r"%(2E|25)?", lambda found: {"2E": ".", "25": "%"}.get(found[1], ""), key)
