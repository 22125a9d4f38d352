"""Arrow tables: the stores that pass outputs from node to node, and the files that users read and write.

`contracts` says what tables must be like, and `places` has outputs that machines share.
"""
