"""The fault harness: the real pipeline under load, broken on purpose, judged by an oracle that shares no code with it.

``make faults`` runs it; ``python -m tests.faults --help`` says what can be chosen. Nothing here is collected by pytest.
"""
