"""What Python programs use, under the name `nfrun`: load, build, plan and run pipelines, and look at the results.

`pipelines` plans and runs with the functions of `nfrun.session`; `builder` makes the document of a pipeline, with
`functions` and `calls`. `given_inputs` makes files of tables, `plain_values` values of a file. `results` and `plans`
are what comes back, and `html` shows them in notebooks. `node_tests` runs one node of a file, and
`pytest_plugin` has a fixture for that. `errors` and `messages` tell programs what a command tells
people.
"""
