"""From the document as written to plain values: variables, blocks, includes, defaults and overrides."""
