"""A stand-in for the vendors and for an internal promotion system, on loopback only: it answers as their documentation
says, fails on request, and plays traffic. It imports nothing else of the product, so that a mistake in the product is
not repeated here."""
