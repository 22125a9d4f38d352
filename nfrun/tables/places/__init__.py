"""Places where outputs are that machines share: a folder that all of them see, or object storage."""
