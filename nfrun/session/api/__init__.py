"""The Python interface, under the name `nfrun`: load, build, plan and run pipelines, and look at the results."""
