"""The Fraud Detection Handbook's benchmark: its data by its definitions, its protocol, its published figures."""
