"""Dense references in float64, written from the papers in plain loops.

Nothing here imports `attn_lib`: an oracle that shares code with what it judges judges nothing.
"""

import math

import numpy as np

__all__ = [
    "attention",
    "best_keys",
    "cosformer",
    "efficient",
    "elu_plus_one",
    "fixed_local",
    "fixed_summary",
    "linear_transformer",
    "linformer",
    "longformer",
    "longformer_visible",
    "luna",
    "luna_causal",
    "performer",
    "performer_features",
    "reformer_weights",
    "sparse_transformer_visible",
    "strided_local",
    "strided_summary",
    "visible_keys",
    "weights",
]


def weights(q, k, visible=None, scale=None):
    """Return softmax(scale · q kᵀ) over the visible keys, row by row; zeros where none is visible.

    q (batch, heads, q_len, head_dim), k (batch, heads, kv_len, head_dim); `visible` broadcasts to
    (batch, heads, q_len, kv_len).
    """
    q, k = np.asarray(q, dtype=np.float64), np.asarray(k, dtype=np.float64)
    batch, heads, q_len, head_dim = q.shape
    kv_len = k.shape[2]
    if scale is None:
        scale = 1.0 / math.sqrt(head_dim)
    if visible is None:
        visible = np.ones((q_len, kv_len), dtype=bool)
    visible = np.broadcast_to(np.asarray(visible, dtype=bool), (batch, heads, q_len, kv_len))
    result = np.zeros((batch, heads, q_len, kv_len))
    for b in range(batch):
        for h in range(heads):
            for i in range(q_len):
                keys = np.flatnonzero(visible[b, h, i])
                if keys.size == 0:
                    continue
                scores = scale * (k[b, h, keys] @ q[b, h, i])
                powers = np.exp(scores - scores.max())
                result[b, h, i, keys] = powers / powers.sum()
    return result


def attention(q, k, v, visible=None, scale=None):
    """Return weights(q, k) @ v, with v (batch, heads, kv_len, value_dim)."""
    return weights(q, k, visible, scale) @ np.asarray(v, dtype=np.float64)


def best_keys(q, k, topk, visible=None, scale=None):
    """Return which `topk` visible keys have the largest scores; of equals, the earlier ones.

    Zhao et al.'s choice as a boolean (batch, heads, q_len, kv_len) array; arguments as `weights`.
    """
    q, k = np.asarray(q, dtype=np.float64), np.asarray(k, dtype=np.float64)
    batch, heads, q_len, head_dim = q.shape
    kv_len = k.shape[2]
    if scale is None:
        scale = 1.0 / math.sqrt(head_dim)
    if visible is None:
        visible = np.ones((q_len, kv_len), dtype=bool)
    visible = np.broadcast_to(np.asarray(visible, dtype=bool), (batch, heads, q_len, kv_len))
    chosen = np.zeros((batch, heads, q_len, kv_len), dtype=bool)
    for b in range(batch):
        for h in range(heads):
            for i in range(q_len):
                scores = (scale * (k[b, h] @ q[b, h, i])).tolist()
                keys = [j for j in range(kv_len) if visible[b, h, i, j]]
                keys.sort(key=lambda j: (-scores[j], j))
                chosen[b, h, i, keys[:topk]] = True
    return chosen


def strided_local(i, stride, kv_len, causal):
    """A⁽¹⁾ of Child et al., strided: {max(0, i − l), …, i}; mirrored where nothing is causal."""
    last = i if causal else i + stride
    return {j for j in range(max(0, i - stride), last + 1) if j < kv_len}


def strided_summary(i, stride, kv_len, causal):
    """A⁽²⁾, strided: {j : (i − j) mod l = 0}."""
    return {j for j in range(kv_len) if (i - j) % stride == 0 and (j <= i or not causal)}


def fixed_local(i, stride, kv_len, causal):
    """A⁽¹⁾, fixed: {j : floor(j / l) = floor(i / l)}."""
    return {j for j in range(kv_len) if j // stride == i // stride and (j <= i or not causal)}


def fixed_summary(i, stride, summary, kv_len, causal):
    """A⁽²⁾, fixed: {j : j mod l in {l − c, …, l − 1}}."""
    residues = set(range(stride - summary, stride))
    return {j for j in range(kv_len) if j % stride in residues and (j <= i or not causal)}


def sparse_transformer_visible(
    heads, q_len, kv_len, *, pattern, stride, summary=1, mode="merged", causal=False
):
    """Return the pairs in the paper's sets as a boolean (heads, q_len, kv_len) array."""
    visible = np.zeros((heads, q_len, kv_len), dtype=bool)
    for i in range(q_len):
        if pattern == "strided":
            local = strided_local(i, stride, kv_len, causal)
            far = strided_summary(i, stride, kv_len, causal)
        elif pattern == "fixed":
            local = fixed_local(i, stride, kv_len, causal)
            far = fixed_summary(i, stride, summary, kv_len, causal)
        else:
            raise KeyError(pattern)
        for h in range(heads):
            split = local if h < math.ceil(heads / 2) else far
            keys = local | far if mode == "merged" else split
            visible[h, i, sorted(keys)] = True
    return visible


def reformer_weights(qk, rotations, size, *, causal, key_mask=None, scale=1.0):
    """Return the weights that the rounds of Kitaev et al. add up to, by their equations.

    qk (batch, heads, n, head_dim); rotations (heads, rounds, head_dim, b / 2). Each round has its
    softmax, with log N subtracted and 10⁵ for oneself, and the rounds are weighed by their
    log-sum-exps.
    """
    qk, rotations = np.asarray(qk, dtype=np.float64), np.asarray(rotations, dtype=np.float64)
    batch, heads, n, _ = qk.shape
    rounds = rotations.shape[1]
    result = np.zeros((batch, heads, n, n))
    for b in range(batch):
        real = [j for j in range(n) if key_mask is None or key_mask[b, j]]
        for h in range(heads):
            x = qk[b, h]
            keys = x / np.linalg.norm(x, axis=-1, keepdims=True)
            available = np.zeros((rounds, n, n), dtype=bool)
            for r in range(rounds):
                turned = keys @ rotations[h, r]
                buckets = np.concatenate([turned, -turned], axis=-1).argmax(axis=-1)
                order = sorted(real, key=lambda j, of=buckets: (of[j], j))
                chunk = {j: place // size for place, j in enumerate(order)}
                for i in real:
                    for j in real:
                        if chunk[i] - 1 <= chunk[j] <= chunk[i] and (j <= i or not causal):
                            available[r, i, j] = True
            found = available.sum(axis=0)
            for i in real:
                z = np.full(rounds, -np.inf)
                parts = np.zeros((rounds, n))
                for r in range(rounds):
                    keys_seen = np.flatnonzero(available[r, i])
                    if keys_seen.size == 0:
                        continue
                    penalty = np.where(keys_seen == i, 1e5, np.log(found[i, keys_seen]))
                    scores = scale * keys[keys_seen] @ x[i] - penalty
                    top = scores.max()
                    powers = np.exp(scores - top)
                    z[r] = top + np.log(powers.sum())
                    parts[r, keys_seen] = powers / powers.sum()
                if np.isfinite(z).any():
                    shares = np.exp(z - z.max())
                    result[b, h, i] = shares / shares.sum() @ parts
    return result


def longformer_visible(
    heads, q_len, kv_len, *, window, dilation=1, global_tokens=None, causal=False
):
    """Return the pairs of Beltagy et al., section 3.1, as a boolean (heads, q_len, kv_len) array.

    `window` counts one side; the paper's w is twice that.
    """
    steps = [dilation] * heads if isinstance(dilation, int) else list(dilation)
    hubs = set(global_tokens or [])
    visible = np.zeros((heads, q_len, kv_len), dtype=bool)
    for h, step in enumerate(steps):
        for i in range(q_len):
            keys = {i + t * step for t in range(-window, window + 1)} | hubs
            if i in hubs:
                keys = set(range(kv_len))
            visible[h, i, [j for j in keys if 0 <= j < kv_len and (j <= i or not causal)]] = True
    return visible


def longformer(
    q, k, v, *, causal=False, key_mask=None, q_global=None, k_global=None, v_global=None, **options
):
    """Return the Longformer's output; the rows of global tokens have projections of their own."""
    visible = longformer_visible(q.shape[1], q.shape[2], k.shape[2], causal=causal, **options)
    visible = visible_keys(visible[None], key_mask)
    out = attention(q, k, v, visible)
    second = [a if b is None else b for a, b in ((q, q_global), (k, k_global), (v, v_global))]
    rows = sorted(set(options.get("global_tokens") or []))
    if rows:
        out[:, :, rows] = attention(*second, visible)[:, :, rows]
    return out


def visible_keys(visible, key_mask):
    """Remove the masked keys: visible (…, q_len, kv_len) and key_mask (batch, kv_len)."""
    visible = np.asarray(visible, dtype=bool)
    if key_mask is None:
        return visible
    return visible & np.asarray(key_mask, dtype=bool)[:, None, None, :]


def linformer(q, k, v, e, f, key_mask=None, scale=None):
    """Return one head of Wang et al., softmax(q (E k)ᵀ / √d) F v, query by query.

    e and f are (rank, kv_len) or (heads, rank, kv_len); keys and values outside `key_mask`
    (batch, kv_len) count as zero.
    """
    q, k, v, e, f = (np.asarray(x, dtype=np.float64) for x in (q, k, v, e, f))
    batch, heads, q_len, head_dim = q.shape
    kv_len, rank = k.shape[2], e.shape[-2]
    if scale is None:
        scale = 1.0 / math.sqrt(head_dim)
    e, f = (np.broadcast_to(x, (heads, rank, kv_len)) for x in (e, f))
    out = np.zeros((batch, heads, q_len, v.shape[3]))
    for b in range(batch):
        real = [j for j in range(kv_len) if key_mask is None or bool(key_mask[b, j])]
        for h in range(heads):
            slot_k = [
                sum((e[h, r, j] * k[b, h, j] for j in real), 0 * q[b, h, 0]) for r in range(rank)
            ]
            zero = np.zeros(v.shape[3])
            slot_v = [sum((f[h, r, j] * v[b, h, j] for j in real), zero) for r in range(rank)]
            for i in range(q_len):
                scores = np.array([scale * float(np.dot(q[b, h, i], key)) for key in slot_k])
                powers = np.exp(scores - scores.max())
                out[b, h, i] = (
                    sum(p * x for p, x in zip(powers, slot_v, strict=True)) / powers.sum()
                )
    return out


def luna(q, p, k, v, key_mask=None):
    """Return Ma et al.'s two nested attentions, Attn(q, Attn(p, k, v)), the slots as k and v."""
    visible = None if key_mask is None else np.asarray(key_mask, dtype=bool)[:, None, None, :]
    packed = attention(p, k, v, visible)
    return attention(q, packed, packed)


def luna_causal(q, p, k, v, key_mask=None, activation="elu"):
    """Return Ma et al.'s causal form one token at a time, from the two running matrices."""
    q, p, k, v = (np.asarray(x, dtype=np.float64) for x in (q, p, k, v))
    batch, heads, length, head_dim = q.shape
    out = np.zeros((batch, heads, length, v.shape[3]))
    for b in range(batch):
        for h in range(heads):
            keys = np.zeros((head_dim, p.shape[2]))
            values = np.zeros((p.shape[2], v.shape[3]))
            t = 0
            for i in range(length):
                if key_mask is None or bool(key_mask[b, i]):
                    t += 1
                    x = p[b, h] @ k[b, h, i] / math.sqrt(head_dim)
                    if activation == "elu":
                        pack = np.array([s + 1 if s > 0 else math.exp(s) for s in x])
                    else:
                        pack = np.array([math.log2(1 + 2**s) for s in x])
                    keys += np.outer(k[b, h, i], pack)
                    values += np.outer(pack, v[b, h, i])
                if t == 0:
                    continue
                scores = q[b, h, i] @ keys / t
                powers = np.exp(scores - scores.max())
                out[b, h, i] = powers / powers.sum() @ values / t
    return out


def performer_features(x, w, kernel):
    """Return φ of Choromanski et al. for x (…, length, d) and random vectors w (m, d)."""
    x = np.asarray(x, dtype=np.float64) / np.shape(x)[-1] ** 0.25
    w = np.asarray(w, dtype=np.float64)
    along = np.einsum("...d,md->...m", x, w)
    half = (x**2).sum(-1, keepdims=True) / 2
    if kernel == "softmax":
        return np.exp(along - half) / math.sqrt(len(w))
    if kernel == "softmax_trig":
        both = np.concatenate([np.sin(along), np.cos(along)], axis=-1)
        return np.exp(half) * both / math.sqrt(len(w))
    if kernel == "relu":
        return np.maximum(along, 0) + 1e-3
    raise KeyError(kernel)


def performer(q, k, v, w, kernel="softmax", causal=False, key_mask=None):
    """Return D⁻¹ φ(Q) (φ(K)ᵀ V), summed key by key; zeros for a query that sees no key."""
    phi_q, phi_k = performer_features(q, w, kernel), performer_features(k, w, kernel)
    v = np.asarray(v, dtype=np.float64)
    batch, heads, q_len, _ = phi_q.shape
    out = np.zeros((batch, heads, q_len, v.shape[3]))
    for b in range(batch):
        real = [j for j in range(v.shape[2]) if key_mask is None or bool(key_mask[b, j])]
        for h in range(heads):
            for i in range(q_len):
                seen = [j for j in real if j <= i or not causal]
                similar = [float(np.dot(phi_q[b, h, i], phi_k[b, h, j])) for j in seen]
                if seen:
                    rows = zip(similar, seen, strict=True)
                    out[b, h, i] = sum(s * v[b, h, j] for s, j in rows) / sum(similar)
    return out


def efficient(q, k, v, normalization="softmax", key_mask=None):
    """Return Shen et al.'s mixtures of context vectors, one feature after another."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    batch, heads, q_len, head_dim = q.shape
    out = np.zeros((batch, heads, q_len, v.shape[3]))
    for b in range(batch):
        real = [j for j in range(v.shape[2]) if key_mask is None or bool(key_mask[b, j])]
        for h in range(heads):
            for c in range(head_dim if real else 0):
                column = [k[b, h, j, c] for j in real]
                if normalization == "softmax":
                    powers = [math.exp(x - max(column)) for x in column]
                    shares = [p / sum(powers) for p in powers]
                else:
                    shares = [x / math.sqrt(len(real)) for x in column]
                context = sum(s * v[b, h, j] for s, j in zip(shares, real, strict=True))
                for i in range(q_len):
                    mixed = q[b, h, i, c] / math.sqrt(len(real))
                    if normalization == "softmax":
                        powers = [math.exp(x - max(q[b, h, i])) for x in q[b, h, i]]
                        mixed = powers[c] / sum(powers)
                    out[b, h, i] += mixed * context
    return out


def elu_plus_one(x):
    """Return Katharopoulos et al.'s φ, entry by entry."""
    return np.array([a + 1 if a > 0 else math.exp(a) for a in np.ravel(x)]).reshape(np.shape(x))


def linear_transformer(q, k, v, phi=elu_plus_one, causal=False, key_mask=None, eps=1e-6):
    """Return φ(q) Σ φ(k)ᵀ v / (φ(q) · Σ φ(k) + ε), pair by pair; `phi` maps one vector."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    batch, heads, q_len, _ = q.shape
    out = np.zeros((batch, heads, q_len, v.shape[3]))
    for b in range(batch):
        real = [j for j in range(v.shape[2]) if key_mask is None or bool(key_mask[b, j])]
        for h in range(heads):
            for i in range(q_len):
                above, below = np.zeros(v.shape[3]), eps
                for j in real:
                    if j <= i or not causal:
                        similar = float(np.dot(phi(q[b, h, i]), phi(k[b, h, j])))
                        above, below = above + similar * v[b, h, j], below + similar
                if below != 0:
                    out[b, h, i] = above / below
    return out


def cosformer(q, k, v, m=None, causal=False, key_mask=None, eps=1e-6):
    """Return Qin et al.'s ReLU products times cos(π/2 · (i − j)/M), normalised, pair by pair."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    batch, heads, q_len, _ = q.shape
    m = max(q_len, k.shape[2]) if m is None else m
    out = np.zeros((batch, heads, q_len, v.shape[3]))
    for b in range(batch):
        real = [j for j in range(v.shape[2]) if key_mask is None or bool(key_mask[b, j])]
        for h in range(heads):
            for i in range(q_len):
                above, below = np.zeros(v.shape[3]), eps
                for j in real:
                    if j <= i or not causal:
                        product = np.maximum(q[b, h, i], 0) @ np.maximum(k[b, h, j], 0)
                        similar = product * math.cos(math.pi / 2 * (i - j) / m)
                        above, below = above + similar * v[b, h, j], below + similar
                if below != 0:
                    out[b, h, i] = above / below
    return out
