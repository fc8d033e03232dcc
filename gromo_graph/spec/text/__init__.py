"""The YAML text of a spec: reading it with positions, and writing it back into the author's document."""
