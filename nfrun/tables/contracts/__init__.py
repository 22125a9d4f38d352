"""Requirements on tables: types of columns as files name them, schemas, and the built-in checks, on Arrow alone."""
