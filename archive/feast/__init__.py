"""Feast reads the archive: views of what streams declare, and an offline store. Nothing else of Weir imports Feast."""
