"""``weir train --config``: a search over kinds of models and their parameters, by rolling folds of time."""
