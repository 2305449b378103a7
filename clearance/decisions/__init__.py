"""Who may get a campaign: pure decisions over values. Nothing in here reads or writes anything."""
