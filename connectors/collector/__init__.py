"""The collector: the HTTP tracking API that existing SDKs speak."""
