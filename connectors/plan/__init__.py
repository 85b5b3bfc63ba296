"""The tracking plan: which events and properties are expected, and what becomes of the others."""
