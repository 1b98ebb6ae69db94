"""The einsums of the diagrams against direct computation: modules of torch, loops, and the path expansion."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mechtests.instruments import attention_pattern, causal_mask, score_terms
from mechtests.instruments import tensor_network as diagram
from tests.instruments.weights import Model, models, normal, random_heads

steady = settings(deadline=None, derandomize=True, max_examples=40)
sizes, seeds = st.integers(1, 6), st.integers(0, 2**31)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@steady
@given(seeds, sizes, sizes, sizes, sizes)
def test_mlp_is_two_linear_layers_each_with_its_non_linearity(seed, n, d_in, hidden, out):
    x, W_up, W_down = (
        normal(n, d_in, seed=seed),
        normal(d_in, hidden, seed=seed + 1),
        normal(hidden, out, seed=seed + 2),
    )
    b_up, b_down = normal(hidden, seed=seed + 3), normal(out, seed=seed + 4)
    layers = nn.Sequential(nn.Linear(d_in, hidden), nn.GELU(), nn.Linear(hidden, out), nn.GELU()).double()
    layers.load_state_dict({"0.weight": W_up.T, "0.bias": b_up, "2.weight": W_down.T, "2.bias": b_down})
    close(diagram.mlp(x, W_up, b_up, W_down, b_down, nn.GELU()), layers(x).detach())


@steady
@given(seeds, sizes, sizes, sizes)
def test_attention_is_the_pattern(seed, n, model, d_head):
    x, W_Q, W_K = (
        normal(n, model, seed=seed),
        normal(model, d_head, seed=seed + 1),
        normal(model, d_head, seed=seed + 2),
    )
    close(diagram.attention(x, W_Q, W_K), attention_pattern(x @ W_Q, x @ W_K, causal_mask(n)))


@steady
@given(seeds, sizes, sizes, sizes)
def test_a_head_moves_what_it_reads_from_each_token_to_each_query(seed, n, model, d_head):
    x, heads = normal(n, model, seed=seed), random_heads(1, model, d_head, seed)
    pattern = diagram.attention(x, heads.W_Q[0], heads.W_K[0])
    found = diagram.head(x, pattern, heads.W_V[0], heads.W_O[0])
    for query in range(n):  # the lecture: [Σ_j A(x)_ij x_j] W_V W_O, for a fixed token i
        gathered = sum(pattern[query, key] * x[key] for key in range(n))
        close(found[query], gathered @ heads.W_V[0] @ heads.W_O[0])


@steady
@given(models())
def test_heads_together_are_the_sum_of_heads_and_the_layer(model):
    resid, _, patterns = model.run()
    heads, x, of_heads = model.layers[0], model.embedded[0], patterns[0][0]
    found = diagram.multi_head(x, of_heads, heads.W_V, heads.W_O)
    alone = [diagram.head(x, of_heads[index], heads.W_V[index], heads.W_O[index]) for index in range(len(heads))]
    close(found, sum(alone))
    close(found, (resid[1] - resid[0])[0])


def test_multi_head_agrees_with_torch():
    n, model, heads = 5, 12, 3
    torch_heads = nn.MultiheadAttention(model, heads, bias=False, batch_first=True).double()
    in_Q, in_K, in_V = torch_heads.in_proj_weight.detach().chunk(3)
    W_Q, W_K, W_V = (W.T.unflatten(1, (heads, -1)).transpose(0, 1) for W in (in_Q, in_K, in_V))
    W_O = torch_heads.out_proj.weight.detach().T.unflatten(0, (heads, -1))
    x = normal(n, model)
    patterns = torch.stack([diagram.attention(x, W_Q[head], W_K[head]) for head in range(heads)])
    expected, _ = torch_heads(x[None], x[None], x[None], attn_mask=~causal_mask(n))
    close(diagram.multi_head(x, patterns, W_V, W_O), expected[0].detach())


@steady
@given(seeds, sizes, sizes, sizes)
def test_the_four_diagrams_of_prefix_matching_are_the_terms_of_the_scores(seed, n, width, d_head):
    layers = [random_heads(1, width, d_head, seed), random_heads(1, width, d_head, seed + 20)]
    model = Model(normal(1, n, width, seed=seed + 9), layers, normal(width, 2))
    _, scores, patterns = model.run()
    x, reader, earlier = model.embedded[0], layers[1], layers[0]
    q_and_k = (x, reader.W_Q[0], reader.W_K[0])
    through = (patterns[0][0, 0], earlier.W_V[0], earlier.W_O[0])
    found = [
        diagram.no_composition(*q_and_k),
        diagram.q_composition(*q_and_k, *through),
        diagram.k_composition(*q_and_k, *through),
        diagram.qk_composition(*q_and_k, *through),
    ]
    terms = score_terms(model.embedded, layers, patterns, 1, 0)
    expected = [terms.no_composition, terms.q_composition, terms.k_composition, terms.qk_composition]
    for one, of_path in zip(found, expected, strict=True):
        close(one, of_path[0])
    close(sum(found), scores[1][0, 0])
