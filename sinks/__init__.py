"""Writers to the stores: one file per store, SQL in .sql files."""
