"""The sizes and options that all measurements share."""

__all__ = [
    "BATCH",
    "BUCKET_SIZE",
    "FEATURES",
    "HEADS",
    "HEAD_DIM",
    "NUM_HASHES",
    "P_LEN",
    "RANK",
    "STRIDE",
    "SUMMARY",
    "TOPK",
    "WINDOW",
]

BATCH, HEADS, HEAD_DIM = 1, 8, 64
STRIDE, SUMMARY = 64, 8
TOPK = 64
WINDOW = 256
RANK = 256
P_LEN = 128
BUCKET_SIZE, NUM_HASHES = 64, 4
FEATURES = 256
