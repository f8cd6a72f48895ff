"""Ids that no two items share."""
