"""MLflow's registry of models: a version for each bundle, and aliases that follow what is published."""
