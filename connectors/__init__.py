"""The ways in: one file per source, all behind one tiny protocol."""
