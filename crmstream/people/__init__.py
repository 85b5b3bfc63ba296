"""What the stores hold about one person: for ``crmstream customer``."""
