"""The effort of a decision: its samples, its memory and its multiply-adds."""
