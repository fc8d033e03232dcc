"""Fixed positions for nodes and edges, so that several drawings can be compared."""
