"""The door: what senders reach over HTTP. It verifies, validates, commits and answers; it decides nothing."""
