"""The HTTP API: routes, requests, live look-ups, what-if scores, bounds on who asks."""
