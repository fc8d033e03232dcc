"""HTML pages about a run: the report and the inspector."""
