"""From the traced calls of a model to a blueprint of a spec."""
