"""The data of a run: reading, preparing, splitting and batching them."""
