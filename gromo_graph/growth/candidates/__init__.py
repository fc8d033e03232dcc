"""The kinds of candidates, one file each."""
