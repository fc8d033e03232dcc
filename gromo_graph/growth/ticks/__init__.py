"""Growth at ticks: the time of a training, what was just seen of it, and what fills a width that is due."""
