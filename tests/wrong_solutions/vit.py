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
    },
}

RIGHT = {
    "check_patches": [cut_in_loops, cut_with_windows],
    "check_shuffled": [shuffled_in_loops, shuffled_with_axes],
    "check_attention_map": [map_in_steps, map_by_sums],
}
