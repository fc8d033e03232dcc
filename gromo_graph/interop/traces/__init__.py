"""The calls of a model: recorded while it runs, several times, or exported."""
