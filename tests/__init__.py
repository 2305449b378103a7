"""The tests, in tiers: unit, contract, integration and system (CONTRIBUTING.md, "Tests")."""
