"""Customer profiles: tables of columns, updated and swept in bulk."""
