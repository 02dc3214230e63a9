"""Clicks made into visits: a pure step (``visit.py``), the agent that runs it (``agent.py``), its start."""
