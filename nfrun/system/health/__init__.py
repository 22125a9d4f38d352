"""Looks at the machine, for `nfrun doctor`: whether runs can be fast and right here.

`machine` is about cores, memory and processes, `disks` about file systems and temporary files, and `mounts` says which
file system a folder is on.
"""
