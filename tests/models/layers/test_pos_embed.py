"""Position tables resized to other grids."""

import torch

from proxyclip.models.layers.pos_embed import resize_positions


def test_resize_positions_keeps_prefix_axes_and_dtype():
    table = torch.randn(1 + 25, 8)
    assert resize_positions(table, (5, 5), (5, 5)) is table
    for grid in ((3, 9), (9, 3), (1, 1), (21, 42)):
        for offset in (0.1, 0.0):
            out = resize_positions(table, (5, 5), grid, offset)
            assert out.shape == (1 + grid[0] * grid[1], 8)
            assert torch.equal(out[0], table[0])
    transposed = torch.cat([table[:1], table[1:].reshape(5, 5, 8).transpose(0, 1).reshape(25, 8)])
    a = resize_positions(table, (5, 5), (4, 7))[1:].reshape(4, 7, 8)
    b = resize_positions(transposed, (5, 5), (7, 4))[1:].reshape(7, 4, 8)
    torch.testing.assert_close(a, b.transpose(0, 1))
    assert resize_positions(table.bfloat16(), (5, 5), (4, 7)).dtype == torch.bfloat16
