"""Identity as the stores have it: which ids are one customer, and how a link is undone."""
