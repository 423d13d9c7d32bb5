"""Each mechanism of ``attn_lib`` beside full attention and its peers, in one process.

``python -m benchmarks`` measures the rows declared in :mod:`benchmarks.rows`.
"""
