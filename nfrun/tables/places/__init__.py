"""Places where outputs are that machines share: a folder that all of them see, or object storage.

`base.py` says what a place does, and `opening.py` opens one by its address, which `addresses.py` takes apart.
`folder.py` is a folder, and `objects.py` is object storage, with copies on each machine in `host_cache.py`;
`service_errors.py` puts its errors into words. `stored_outputs.py` puts outputs of nodes into places and fetches them.
"""
