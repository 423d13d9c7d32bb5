"""What each mechanism can do: small tasks, learned by one small Transformer.

``python -m benchmarks.tasks --help`` trains; `attn_lib.data.load_task_results` reads the results.
`data` draws the tasks, `models` holds the Transformer, `plan` says what is tried, `run` tries one.
"""
