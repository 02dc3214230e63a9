"""The alerts against real servers of monitoring: Prometheus, Alertmanager, and promtool for the rules alone."""
