"""One drawing of a network: its DOT text, its words and colours, and Graphviz."""
