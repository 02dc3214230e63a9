"""Dead letters: their form, how they are built, listed, repaired, replayed and discarded."""
