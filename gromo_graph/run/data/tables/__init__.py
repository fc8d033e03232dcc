"""Tables with columns of several kinds: reading them, telling their kinds, and turning them into numbers."""
