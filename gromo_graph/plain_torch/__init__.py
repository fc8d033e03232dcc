"""The types in which kinds say how they are read from plain PyTorch and written as such."""
