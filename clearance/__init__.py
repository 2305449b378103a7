"""The domain of Clearance: deadlines, obligations, decisions, the ledger and the vendors."""
