"""Arrow tables: digests, file formats, the store that hands them on, and the write queue."""
