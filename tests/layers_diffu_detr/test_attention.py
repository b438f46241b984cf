"""Self-attention, feed-forward block and MLP."""

import torch
from torch.testing import assert_close

from layers_diffu_detr.attention import MultiheadAttention
from layers_diffu_detr.mlp import FFN, MLP


def test_positions_enter_queries_and_keys_but_not_values_and_the_query_is_added():
    torch.manual_seed(0)
    attention = MultiheadAttention(embed_dim=8, num_heads=2)
    query, pos = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    expected, _ = attention.attn(query + pos, query + pos, query)
    assert_close(attention(query, pos), query + expected)
    assert_close(attention(query), attention(query, torch.zeros_like(query)))


def test_a_masked_query_is_not_seen():
    torch.manual_seed(0)
    attention = MultiheadAttention(embed_dim=8, num_heads=2)
    query = torch.randn(1, 5, 8)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[1:, 0] = True
    changed = query.clone()
    changed[:, 0] += 10
    assert_close(attention(query, attn_mask=mask)[:, 1:], attention(changed, attn_mask=mask)[:, 1:])
    assert not torch.allclose(attention(query)[:, 1:], attention(changed)[:, 1:])


def test_the_feed_forward_block_adds_its_input():
    ffn = FFN(embed_dim=4, feedforward_dim=6)
    x = torch.randn(2, 3, 4)
    hidden = ffn.layers[0][0](x).relu()
    assert_close(ffn(x), x + ffn.layers[1](hidden))


def test_an_mlp_has_relu_between_its_layers_only_and_leaves_its_input_alone():
    mlp = MLP(4, 6, 2, num_layers=3)
    x = torch.randn(5, 4)
    before = x.clone()
    expected = mlp.layers[2](mlp.layers[1](mlp.layers[0](x).relu()).relu())
    assert_close(mlp(x), expected)
    assert_close(x, before)
