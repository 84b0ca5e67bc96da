"""Customers, people and how they sign in."""
