"""Connections to encrypted databases."""
