"""The base currency and the exchange rates of an installation: their files, and how they come into force."""
