"""The page "In your own model": its layer and its register, in models that it does not try."""

import math
from functools import partial

import pytest
import torch
import transformers
from torch import nn
from torch.testing import assert_close

from attn_lib import longformer_attention, softmax_attention
from benchmarks.cells import ROOT, code_cells, needed, run

LENGTH = 20
SMALL = {
    "vocab_size": 128,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
PLAIN = {**SMALL, "attention_probs_dropout_prob": 0.0}
GROUPED = {**SMALL, "num_key_value_heads": 2}
GPT2 = {"vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "attn_pdrop": 0.0}
MODELS = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**PLAIN)),
    "roberta": lambda: transformers.RobertaModel(transformers.RobertaConfig(**PLAIN)),
    "gpt2": lambda: transformers.GPT2Model(
        transformers.GPT2Config(**GPT2, bos_token_id=1, eos_token_id=2)
    ),
    "llama": lambda: transformers.LlamaModel(transformers.LlamaConfig(**GROUPED)),
    "qwen3": lambda: transformers.Qwen3Model(transformers.Qwen3Config(**GROUPED, head_dim=16)),
}
DECODERS = ("gpt2", "llama", "qwen3")


@pytest.fixture(scope="module")
def page():
    """Return what the page's cells bind, with its mechanisms registered."""
    cells = code_cells(ROOT / "book" / "your-own-model.md")
    wanted = "EncoderLayer", "register", "drop_ins", "read"
    with torch.random.fork_rng():
        return run(needed(cells, *wanted))


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


@pytest.fixture
def ids():
    return torch.randint(3, 128, (2, LENGTH))


@pytest.fixture
def real():
    return (torch.arange(LENGTH) < torch.tensor([[LENGTH], [13]])).long()


def _sharpen(model):
    """Make scores large enough that masks and scales matter."""
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "weight") and module.weight.dim() == 2:
                module.weight.mul_(8)


def _both(model, **inputs):
    """Return the outputs with the model's own attention, and with softmax in its place."""
    outs = []
    for implementation in ("eager", "attn_lib_softmax"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            outs.append(model(**inputs)[0])
    return outs


# torch's encoder


def _encoder(layer):
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_the_swap_alone_changes_nothing_in_torchs_encoder(page, real, norm_first, training, causal):
    torch_layer = nn.TransformerEncoderLayer(
        *(64, 4, 128, 0.0), batch_first=True, norm_first=norm_first
    )
    layer = page["EncoderLayer"](
        *(64, 4, 128, 0.0), norm_first=norm_first, attend=softmax_attention
    )
    layer.load_state_dict(torch_layer.state_dict())
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH) if causal else None
    x, padding = torch.randn(2, LENGTH, 64), real == 0
    padding_number = torch.zeros(padding.shape).masked_fill(padding, -math.inf)
    outs, gradients = [], []
    for encoder in (_encoder(torch_layer), _encoder(layer)):
        encoder.train(training)
        leaf = x.clone().requires_grad_()
        out = encoder(leaf, mask=mask, src_key_padding_mask=padding_number, is_causal=causal)
        gradients += torch.autograd.grad(out[~padding].square().sum(), leaf)
        outs.append(out[~padding])
    assert_close(*outs)
    assert_close(*gradients)


def test_the_fused_path_would_go_round_the_mechanism(page):
    """The page's line is needed as long as torch takes that path."""
    called = []

    def attend(q, k, v, **given):
        called.append(1)
        return softmax_attention(q, k, v, **given)

    layer = page["EncoderLayer"](64, 4, 128, attend=attend).eval()
    with torch.no_grad():
        layer(torch.randn(2, 5, 64))
        assert len(called) == 1
        layer.activation_relu_or_gelu = 1
        layer(torch.randn(2, 5, 64))
    assert len(called) == 1


def test_a_bare_layer_takes_booleans_for_padding(page, real):
    layer = page["EncoderLayer"](64, 4, 128, 0.0, attend=softmax_attention)
    x, padding = torch.randn(2, LENGTH, 64), real == 0
    other = x.masked_fill(padding[..., None], 3.0)
    one, two = (layer(each, src_key_padding_mask=padding) for each in (x, other))
    assert_close(one[~padding], two[~padding], rtol=0, atol=0)


def test_a_mask_that_no_mechanism_takes_is_refused(page):
    layer = page["EncoderLayer"](64, 4, 128, attend=softmax_attention)
    with pytest.raises(NotImplementedError, match="attn_mask must be None or causal"):
        layer(torch.randn(2, 5, 64), src_mask=torch.eye(5).log())


# Hugging Face's models


@pytest.mark.parametrize("name", MODELS)
def test_the_swap_alone_changes_nothing_in_a_model(page, ids, real, name):
    model = MODELS[name]()
    outs = []
    for implementation in ("eager", "attn_lib_softmax"):
        model.set_attn_implementation(implementation)
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        out = model(input_ids=ids, attention_mask=real)[0][real.bool()]
        gradients = torch.autograd.grad(out.square().sum(), list(model.parameters())[:1])
        outs.append((out, *gradients))
    assert_close(*outs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_padding_cannot_matter(page, ids, real, name):
    model = MODELS[name]().eval()
    other = ids.where(real.bool(), 7)
    for mechanism in page["drop_ins"]:
        if mechanism == "efficient" and name in DECODERS:
            continue
        model.set_attn_implementation(f"attn_lib_{mechanism}")
        with torch.no_grad():
            one, two = (model(input_ids=x, attention_mask=real)[0] for x in (ids, other))
        assert one.isfinite().all(), mechanism
        assert_close(one[real.bool()], two[real.bool()], rtol=0, atol=0)


@pytest.mark.parametrize("name", DECODERS)
def test_the_future_cannot_matter(page, ids, name):
    model, other = MODELS[name]().eval(), ids.clone()
    other[:, 13:] = 7
    for mechanism in set(page["drop_ins"]) - {"efficient"}:
        model.set_attn_implementation(f"attn_lib_{mechanism}")
        with torch.no_grad():
            one, two = (model(input_ids=x)[0][:, :13] for x in (ids, other))
        assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_what_has_no_causal_form_says_so(page, ids):
    model = MODELS["gpt2"]()
    model.set_attn_implementation("attn_lib_efficient")
    with pytest.raises(NotImplementedError, match="no causal form"):
        model(input_ids=ids)


def test_a_window_is_refused(page, ids):
    config = transformers.MistralConfig(**GROUPED, sliding_window=8)
    model = transformers.MistralModel(config)
    model.set_attn_implementation("attn_lib_softmax")
    with pytest.raises(NotImplementedError, match="attend has no mask but causal and key_mask"):
        model(input_ids=ids)


def test_another_scale_is_kept(page, ids):
    config = transformers.GraniteConfig(**GROUPED, attention_multiplier=1.7)
    model = transformers.GraniteModel(config).eval()
    _sharpen(model)
    assert_close(*_both(model, input_ids=ids), rtol=1e-4, atol=1e-4)


def test_a_bias_for_positions_is_refused(page, ids):
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 1, "num_heads": 4}
    model = transformers.T5EncoderModel(transformers.T5Config(vocab_size=128, **sizes))
    model.set_attn_implementation("attn_lib_softmax")
    with pytest.raises(NotImplementedError, match="attend has no position_bias"):
        model(input_ids=ids)


def test_a_model_that_says_in_the_call_that_it_is_causal_is(page, ids):
    """CLIP's text model does, and its layers say the opposite."""
    config = transformers.CLIPTextConfig(**SMALL, eos_token_id=2, bos_token_id=1)
    model = transformers.CLIPTextModel(config).eval()
    _sharpen(model)
    assert_close(*_both(model, input_ids=ids), rtol=1e-4, atol=1e-4)


def test_a_decoder_that_its_configuration_makes_an_encoder_is_one(page, ids):
    config = transformers.LlamaConfig(**GROUPED, is_causal=False)
    model = transformers.LlamaModel(config).eval()
    _sharpen(model)
    assert_close(*_both(model, input_ids=ids), rtol=1e-4, atol=1e-4)


def test_a_model_that_keeps_its_own_attention_is_found_out(page):
    sizes = {"vocab_size": 128, "hidden_size": 64, "n_layer": 1, "n_head": 4}
    model = transformers.BloomModel(transformers.BloomConfig(**sizes)).eval()
    with pytest.raises(AssertionError):
        page["read"](model, "attn_lib_softmax")


def test_a_cap_on_the_scores_is_refused(page):
    attention = transformers.AttentionInterface()["attn_lib_softmax"]
    q, k, v = torch.randn(3, 1, 2, 5, 8)
    module = nn.Identity()
    module.is_causal = True
    module.config = None
    attention(module, q, k, v, None, sliding_window=None)
    with pytest.raises(NotImplementedError, match="attend has no softcap, no s_aux"):
        attention(module, q, k, v, None, softcap=50.0, s_aux=torch.ones(2))


def test_texts_packed_into_one_row_are_refused(page, ids):
    model = MODELS["llama"]().eval()
    model.set_attn_implementation("attn_lib_softmax")
    positions = torch.cat([torch.arange(12), torch.arange(8)])[None]
    with pytest.raises(NotImplementedError, match="attend has no mask but causal and key_mask"):
        model(input_ids=ids[:1], position_ids=positions, use_cache=False)


def test_a_mask_for_single_queries_is_refused(page, ids):
    model = MODELS["bert"]()
    model.set_attn_implementation("attn_lib_softmax")
    mask = torch.zeros(2, 1, LENGTH, LENGTH)
    with pytest.raises(
        NotImplementedError, match="attend has no mask that differs from query to query"
    ):
        model(input_ids=ids, attention_mask=mask)


def test_a_query_beside_a_cache_is_refused(page, ids):
    model = MODELS["llama"]()
    model.set_attn_implementation("attn_lib_softmax")
    cache = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"causal must be False unless q_len equals kv_len"):
        model(input_ids=ids[:, :1], past_key_values=cache)


@pytest.mark.parametrize("window", [LENGTH - 1, LENGTH - 2])
def test_a_window_as_wide_as_the_text_is_softmax_attention(page, ids, window):
    model = MODELS["bert"]().eval()
    page["register"]("attn_lib_test", partial(longformer_attention, window=window))
    outs = []
    for implementation in ("eager", "attn_lib_test"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            outs.append(model(input_ids=ids)[0])
    assert torch.allclose(*outs, rtol=1e-4, atol=1e-5) == (window == LENGTH - 1)
