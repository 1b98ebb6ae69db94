"""The claims: one folder a system, one file a mechanism."""
