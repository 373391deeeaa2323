"""Wrong and right solutions of chapter 08's exercises, with words that the English finding must contain."""

import numpy as np
import torch


def cut(image, size, stride, lay=lambda patch: patch.reshape(-1)):
    H, W, _ = image.shape
    return np.stack(
        [
            lay(image[top : top + size, left : left + size])
            for top in range(0, H - size + 1, stride)
            for left in range(0, W - size + 1, stride)
        ]
    )


def stride_ignored(image, size, stride):
    return cut(image, size, size)


def last_missing(image, size, stride):
    H, W, _ = image.shape
    found = [
        image[top : top + size, left : left + size].reshape(-1)
        for top in range(0, H - size, stride)
        for left in range(0, W - size, stride)
    ]
    return np.array(found)


def columns_outside(image, size, stride):
    H, W, _ = image.shape
    found = []
    for left in range(0, W - size + 1, stride):
        for top in range(0, H - size + 1, stride):
            found.append(image[top : top + size, left : left + size].reshape(-1))
    return np.array(found)


def pixels_by_columns(image, size, stride):
    return cut(image, size, stride, lambda patch: patch.transpose(1, 0, 2).reshape(-1))


def channels_first(image, size, stride):
    return cut(image, size, stride, lambda patch: np.moveaxis(patch, 2, 0).reshape(-1))


def still_square(image, size, stride):
    return cut(image, size, stride, lambda patch: patch)


def averaged(image, size, stride):
    return cut(image, size, stride, lambda patch: patch.mean(axis=(0, 1)))


def bare_reshape(image, size, stride):
    H, W, C = image.shape
    return image[: H // size * size, : W // size * size].reshape(-1, size * size * C)


def first_channel(image, size, stride):
    return cut(image[:, :, :1], size, stride)


def patches_of_torch(image, size, stride):
    return torch.nn.functional.unfold(torch.tensor(image).permute(2, 0, 1)[None], size, stride=stride)[0].T.numpy()


def edge_padded(image, size, stride):
    H, W, _ = image.shape
    padded = np.pad(image, ((0, -H % size), (0, -W % size), (0, 0)))
    return cut(padded, size, stride)


def height_for_width(image, size, stride):
    H, _, _ = image.shape
    found = [
        image[top : top + size, left : left + size]
        for top in range(0, H - size + 1, stride)
        for left in range(0, H - size + 1, stride)
    ]
    return np.stack(found).reshape(len(found), -1)


def every_pixel_begins_one(image, size, stride):
    return cut(image, size, 1)


def size_and_stride_swapped(image, size, stride):
    return cut(image, stride, size)


def a_patch_a_column(image, size, stride):
    return cut(image, size, stride).T


def a_grid_of_patches(image, size, stride):
    rows = len(range(0, image.shape[0] - size + 1, stride))
    return cut(image, size, stride).reshape(rows, -1, size * size * image.shape[2])


def last_patch_first(image, size, stride):
    return cut(image, size, stride)[::-1]


def centred(image, size, stride):
    patches = cut(image, size, stride)
    return patches - patches.mean(axis=1, keepdims=True)


def round_the_edge(image, size, stride):
    wide = np.pad(image, ((0, size), (0, size), (0, 0)), mode="wrap")
    H, W, _ = image.shape
    return np.stack(
        [
            wide[top : top + size, left : left + size].ravel()
            for top in range(0, H, stride)
            for left in range(0, W, stride)
        ]
    )


def begins_late(image, size, stride):
    return cut(image[stride - 1 :, stride - 1 :], size, stride)


def grey(image, size, stride):
    return cut(image.mean(axis=2, keepdims=True), size, stride)


def cut_with_indices(image, size, stride):
    H, W, _ = image.shape
    rows = np.arange(0, H - size + 1, stride)[:, None, None, None] + np.arange(size)[:, None]
    columns = np.arange(0, W - size + 1, stride)[:, None, None] + np.arange(size)
    return image[rows, columns].reshape(-1, size * size * image.shape[2])


def cut_in_loops(image, size, stride):
    H, W, C = image.shape
    rows, columns = (H - size) // stride + 1, (W - size) // stride + 1
    found = np.zeros((rows * columns, size * size * C))
    for row in range(rows):
        for column in range(columns):
            patch = image[row * stride : row * stride + size, column * stride : column * stride + size]
            found[row * columns + column] = patch.ravel()
    return found


def cut_with_windows(image, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))[::stride, ::stride]
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, size * size * image.shape[2])


def tiles_of(image, size):
    H, W = image.shape
    return [image[top : top + size, left : left + size] for top in range(0, H, size) for left in range(0, W, size)]


def placed(tiles, image, size):
    new, W = np.empty_like(image), image.shape[1]
    for place, tile in enumerate(tiles):
        top, left = place // (W // size) * size, place % (W // size) * size
        new[top : top + size, left : left + size] = tile
    return new


def order_backwards(image, size, order):
    tiles = [None] * len(order)
    for patch, place in zip(tiles_of(image, size), order, strict=True):
        tiles[place] = patch
    return placed(tiles, image, size)


def rows_of_pixels(image, size, order):
    return image.reshape(len(order), -1)[order].reshape(image.shape)


def turned_over(image, size, order):
    return placed([tiles_of(image, size)[number].T for number in order], image, size)


def nothing_moved(image, size, order):
    return image.copy()


def backwards(image, size, order):
    return placed(tiles_of(image, size)[::-1], image, size)


def not_put_together(image, size, order):
    return np.stack(tiles_of(image, size))[order]


def laid_out_flat(image, size, order):
    return np.stack(tiles_of(image, size))[order].reshape(image.shape)


def numbered_by_columns(image, size, order):
    H, W = image.shape
    tiles = [image[top : top + size, left : left + size] for left in range(0, W, size) for top in range(0, H, size)]
    return placed([tiles[number] for number in order], image, size)


def shuffled_in_place(image, size, order):
    image[:] = shuffled_in_loops(image.copy(), size, order)
    return image


def pixels_mixed(image, size, order):
    return placed([np.random.default_rng(0).permuted(tiles_of(image, size)[number]) for number in order], image, size)


def mirrored(image, size, order):
    return placed([tiles_of(image, size)[number][:, ::-1] for number in order], image, size)


def upside_down(image, size, order):
    return placed([tiles_of(image, size)[number][::-1] for number in order], image, size)


def whole_image_turned(image, size, order):
    return shuffled_in_loops(image, size, order).T


def twice(image, size, order):
    tiles = tiles_of(image, size)
    return placed([tiles[order[number]] for number in order], image, size)


def counted_from_one(image, size, order):
    return placed([tiles_of(image, size)[number - 1] for number in order], image, size)


def by_a_draw_of_its_own(image, size, order):
    return shuffled_in_loops(image, size, np.random.default_rng(0).permutation(len(order)))


def overwrites_what_it_needs(image, size, order):
    new = image.copy()
    for place, number in enumerate(order):
        (top, left), (above, beside) = (divmod(at, image.shape[1] // size) for at in (place, number))
        piece = new[above * size : (above + 1) * size, beside * size : (beside + 1) * size]
        new[top * size : (top + 1) * size, left * size : (left + 1) * size] = piece.copy()
    return new


def square_only(image, size, order):
    side = round(len(order) ** 0.5)
    tiles = np.stack(tiles_of(image, size))[order].reshape(side, side, size, size)
    return tiles.swapaxes(1, 2).reshape(side * size, side * size)


def exchanged_in_turn(image, size, order):
    tiles = np.stack(tiles_of(image, size))
    for place, number in enumerate(order):
        tiles[[place, number]] = tiles[[number, place]]
    return placed(tiles, image, size)


def tiles_averaged(image, size, order):
    return placed([np.full((size, size), tiles_of(image, size)[number].mean()) for number in order], image, size)


def shuffled_by_blocks(image, size, order):
    columns, tiles = image.shape[1] // size, tiles_of(image, size)
    chosen = [tiles[number] for number in order]
    return np.block([chosen[at : at + columns] for at in range(0, len(chosen), columns)])


def shuffled_in_loops(image, size, order):
    return placed([tiles_of(image, size)[number] for number in order], image, size)


def shuffled_with_axes(image, size, order):
    H, W = image.shape
    tiles = image.reshape(H // size, size, W // size, size).transpose(0, 2, 1, 3).reshape(-1, size, size)[order]
    return tiles.reshape(H // size, W // size, size, size).transpose(0, 2, 1, 3).reshape(H, W)


def as_map(shares, rows, columns):
    return (shares / shares.sum()).reshape(rows, columns)


def not_normalised(weights, rows, columns):
    return weights[:, 0, 1:].mean(axis=0).reshape(rows, columns)


def column_of_class(weights, rows, columns):
    return as_map(weights[:, 1:, 0].mean(axis=0), rows, columns)


def first_head(weights, rows, columns):
    return as_map(weights[0, 0, 1:], rows, columns)


def largest_head(weights, rows, columns):
    return as_map(weights[:, 0, 1:].max(axis=0), rows, columns)


def with_class_token(weights, rows, columns):
    return as_map(weights[:, 0, : rows * columns].mean(axis=0), rows, columns)


def last_patch(weights, rows, columns):
    return as_map(weights[:, -1, 1:].mean(axis=0), rows, columns)


def all_queries(weights, rows, columns):
    return as_map(weights[:, :, 1:].mean(axis=(0, 1)), rows, columns)


def map_turned(weights, rows, columns):
    return as_map(weights[:, 0, 1:].mean(axis=0), columns, rows).T


def softmax_again(weights, rows, columns):
    return as_map(np.exp(weights[:, 0, 1:].mean(axis=0)), rows, columns)


def no_picture(weights, rows, columns):
    return as_map(weights[:, 0, 1:].mean(axis=0), -1, 1)[:, 0]


def a_map_a_head(weights, rows, columns):
    return np.stack([as_map(head, rows, columns) for head in weights[:, 0, 1:]])


def square_map(weights, rows, columns):
    return as_map(weights[:, 0, 1:].mean(axis=0), int((rows * columns) ** 0.5), -1)


def each_head_its_share(weights, rows, columns):
    return np.mean([as_map(head, rows, columns) for head in weights[:, 0, 1:]], axis=0)


def largest_is_one(weights, rows, columns):
    shares = weights[:, 0, 1:].mean(axis=0)
    return (shares / shares.max()).reshape(rows, columns)


def from_zero_to_one(weights, rows, columns):
    shares = weights[:, 0, 1:].mean(axis=0)
    return ((shares - shares.min()) / (shares.max() - shares.min())).reshape(rows, columns)


def heads_added_up(weights, rows, columns):
    return weights[:, 0, 1:].sum(axis=0).reshape(rows, columns)


def what_patches_give_each_other(weights, rows, columns):
    return as_map(weights[:, 1:, 1:].mean(axis=(0, 1)), rows, columns)


def diagonal(weights, rows, columns):
    return as_map(np.diagonal(weights, axis1=1, axis2=2).mean(axis=0)[1:], rows, columns)


def each_row_a_share(weights, rows, columns):
    shares = weights[:, 0, 1:].mean(axis=0).reshape(rows, columns)
    return shares / shares.sum(axis=1, keepdims=True)


def middle_head(weights, rows, columns):
    return as_map(np.median(weights[:, 0, 1:], axis=0), rows, columns)


def last_head(weights, rows, columns):
    return as_map(weights[-1, 0, 1:], rows, columns)


def written_by_columns(weights, rows, columns):
    shares = weights[:, 0, 1:].mean(axis=0)
    return (shares / shares.sum()).reshape(rows, columns, order="F")


def map_in_steps(weights, rows, columns):
    shares = np.zeros(rows * columns)
    for head in weights:
        shares += head[0, 1:] / len(weights)
    return (shares / shares.sum()).reshape(rows, columns)


def map_by_sums(weights, rows, columns):
    shares = weights.sum(axis=0)[0, 1:]
    return (shares / shares.sum()).reshape((rows, columns))


WRONG = {
    "check_patches": {
        stride_ignored: "do not overlap",
        last_missing: "last patch of each row",
        columns_outside: "rows are the outer loop",
        pixels_by_columns: "lay them row by row",
        channels_first: "channels last",
        still_square: "still a square",
        averaged: "averaged",
        bare_reshape: "not squares",
        first_channel: "had 3 channels",
        patches_of_torch: "channels last",
        edge_padded: "hold no whole patch",
        height_for_width: "had 3 channels",
        every_pixel_begins_one: "the shape is (9, 4), not (4, 4)",
        size_and_stride_swapped: "they overlap, and there are 9",
        a_patch_a_column: "4 patches of 4 numbers",
        a_grid_of_patches: "the shape is (2, 2, 4), not (4, 4)",
        last_patch_first: "4 patches of 4 numbers",
        centred: "4 patches of 4 numbers",
        round_the_edge: "there are 9",
        begins_late: "the shape is (1, 4), not (4, 4)",
        grey: "6 patches",
    },
    "check_shuffled": {
        order_backwards: "used backwards",
        rows_of_pixels: "rows of pixels were moved",
        turned_over: "turned over",
        nothing_moved: "nothing moved",
        backwards: "stand backwards",
        not_put_together: "put them together",
        laid_out_flat: "lays the patches out",
        numbered_by_columns: "numbered column by column",
        shuffled_in_place: "changes its arguments",
        pixels_mixed: "the first place shows patch 1",
        mirrored: "the first place shows patch 1",
        upside_down: "the first place shows patch 1",
        whole_image_turned: "the first place shows patch 1",
        twice: "the first place shows patch 1",
        counted_from_one: "nothing moved",
        by_a_draw_of_its_own: "the first place shows patch 1",
        overwrites_what_it_needs: "the last place shows patch 0",
        square_only: "2 rows of 4 patches",
        exchanged_in_turn: "the first place shows patch 1",
        tiles_averaged: "the first place shows patch 1",
    },
    "check_attention_map": {
        not_normalised: "does not sum to 1",
        column_of_class: "not its column",
        first_head: "first head alone",
        largest_head: "largest head",
        with_class_token: "begin at index 1",
        last_patch: "stands first",
        all_queries: "over all queries",
        map_turned: "reading order",
        softmax_again: "softmax was taken once more",
        no_picture: "shape (rows, columns)",
        a_map_a_head: "the shape is (3, 2, 2), not (2, 2)",
        square_map: "the shape is (2, 4), not (4, 2)",
        each_head_its_share: "3 heads over a class token",
        largest_is_one: "3 heads over a class token",
        from_zero_to_one: "3 heads over a class token",
        heads_added_up: "3 heads over a class token",
        what_patches_give_each_other: "3 heads over a class token",
        diagonal: "3 heads over a class token",
        each_row_a_share: "3 heads over a class token",
        middle_head: "3 heads over a class token",
        last_head: "3 heads over a class token",
        written_by_columns: "reading order",
    },
}

RIGHT = {
    "check_patches": [cut_in_loops, cut_with_windows, cut_with_indices],
    "check_shuffled": [shuffled_in_loops, shuffled_with_axes, shuffled_by_blocks],
    "check_attention_map": [map_in_steps, map_by_sums],
}
