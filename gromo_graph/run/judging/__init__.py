"""Judging a network: the measures of its task, beside those of the simplest guess."""
