"""What of an event is dropped, hashed, encrypted or shortened before anything is written."""
