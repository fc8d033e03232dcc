"""One growth step: candidates are tried at a step size, and the best are applied."""
