"""How good the decisions of each day were."""
