"""Proposals of rules and lists: what one person proposes and another approves."""
