"""Keys that a section does not have: the keys that they stand for, and the sections that they belong to."""
