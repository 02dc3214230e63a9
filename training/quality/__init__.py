"""Precision, recall and money lost per day of decision, while the labels of the last weeks are still on their way."""
