"""The parts of the built-in training: losses, optimizers and schedules by the names of a spec."""
