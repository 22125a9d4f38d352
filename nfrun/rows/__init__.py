"""The data of mapped nodes: pieces of a table, results of calls in files, and the result as a whole."""
