"""Kinds that models write out as several calls: attention, rotary positions, RMS norms."""
