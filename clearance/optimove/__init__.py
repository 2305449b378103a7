"""Optimove's side: its signature, its notifications, and the calls that answer them."""
