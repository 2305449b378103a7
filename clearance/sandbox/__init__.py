"""A stand-in for the vendors, on loopback only: it answers as their documentation says, fails on request, and plays
traffic. It imports nothing else of the product, so that a mistake in the product is not repeated here."""
