"""The command, the local stack, and the composition of everything. Nothing imports it."""
