"""Checks that ask somebody: internal systems over HTTP, suppression lists, the operator's own functions."""
