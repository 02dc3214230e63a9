"""Data and score drift: what rows looked like where a model was judged, against what it sees now."""
