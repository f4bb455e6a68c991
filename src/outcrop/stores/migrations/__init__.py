"""Numbered migrations. One that has been released is never edited; the next number mends it."""
