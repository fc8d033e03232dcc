"""Widening and pruning a width group: weights in, weights out. Nothing here knows modules with pending growth."""
