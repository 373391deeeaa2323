"""Checks of chapter 08: cutting an image into patches, putting patches in another order, and the class token's map."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_patches(my_patches: Callable) -> bool:
    """Check `my_patches(image, size, stride)`: all square patches of an image, each laid in a row.

    image (H, W, C). A patch of `size` by `size` pixels begins every `stride` pixels, as long as it fits; patches stand
    in reading order, and so do the pixels of each, its channels last: (N, size * size * C).
    """
    rng = np.random.default_rng(8)
    cases = [
        Case(
            (rng.random((4, 4, 1)), 2, 2),
            "The image was 4 x 4 with one channel, cut into 2 x 2 without overlap: 4 patches of 4 numbers.",
            "图像是 4 x 4，一个通道，切成互不重叠的 2 x 2：4 个图像块，每块 4 个数。",
        ),
        Case(
            (rng.random((4, 6, 3)), 2, 2),
            "The image was 4 high, 6 wide and had 3 channels: 6 patches, three to a row, of 12 numbers each.",
            "图像高 4、宽 6，有 3 个通道：6 个图像块，一行三个，每块 12 个数。",
        ),
        Case(
            (rng.random((8, 8, 1)), 4, 2),
            "Patches of 4 began every 2 pixels of an 8 x 8 image: they overlap, and there are 9.",
            "8 x 8 的图像，每隔 2 个像素起一个边长为 4 的图像块：它们互相重叠，共 9 个。",
        ),
        Case(
            (rng.random((5, 7, 2)), 2, 2),
            "The image was 5 x 7: a last row and column of pixels hold no whole patch and are left out.",
            "图像是 5 x 7：最后一行和最后一列像素凑不成完整的图像块，要舍去。",
        ),
    ]
    return examine("my_patches", my_patches, _patches, cases, _PATCH_MISTAKES)


def check_shuffled(my_shuffled: Callable) -> bool:
    """Check `my_shuffled(image, size, order)`: the same patches, in another order.

    image (H, W), cut into patches of `size` by `size` without overlap and numbered in reading order; at place i of the
    new image stands patch order[i], itself unchanged: (H, W).
    """
    rng = np.random.default_rng(8)
    cases = [
        Case(
            (rng.random((4, 4)), 2, np.array([1, 2, 3, 0])),
            "With the order 1 2 3 0 the first place shows patch 1, and the last place shows patch 0.",
            "次序是 1 2 3 0 时，第一个位置显示图像块 1，最后一个位置显示图像块 0。",
        ),
        Case(
            (rng.random((6, 6)), 3, np.array([0, 1, 2, 3])),
            "With the order 0 1 2 3 nothing moves.",
            "次序是 0 1 2 3 时，什么都不动。",
        ),
        Case(
            (rng.random((4, 8)), 2, np.array([5, 0, 3, 7, 1, 6, 2, 4])),
            "The image was 4 high and 8 wide: 2 rows of 4 patches.",
            "图像高 4、宽 8：2 行图像块，每行 4 个。",
        ),
    ]
    return examine("my_shuffled", my_shuffled, _shuffled, cases, _SHUFFLE_MISTAKES)


def check_attention_map(my_attention_map: Callable) -> bool:
    """Check `my_attention_map(weights, rows, columns)`: where the class token looks, as a picture.

    weights (H, 1 + N, 1 + N) of a layer, a row a query, the class token first; N = rows * columns. Take the class
    token's weights on the patches, average over the heads, divide by their sum: (rows, columns).
    """
    rng = np.random.default_rng(8)
    sure = np.zeros((1, 7, 7))
    sure[0, :, 2] = 0.75
    sure[0, :, 0] += 0.25
    cases = [
        Case(
            (_random_weights(rng, 3, 5), 2, 2),
            "These were 3 heads over a class token and 4 patches.",
            "这里有 3 个头，一个类别词元和 4 个图像块。",
        ),
        Case(
            (sure, 2, 3),
            "Every query gave 0.75 to the second patch and 0.25 to the class token: the map is 1 at the second patch.",
            "每个查询都把 0.75 给第二个图像块，0.25 给类别词元：图上第二块应为 1。",
        ),
        Case(
            (_random_weights(rng, 2, 9), 4, 2),
            "The 8 patches stood in 4 rows of 2.",
            "8 个图像块排成 4 行，每行 2 个。",
        ),
    ]
    return examine("my_attention_map", my_attention_map, _attention_map, cases, _MAP_MISTAKES)


def _random_weights(rng, H, T) -> np.ndarray:
    weights = rng.random((H, T, T)) ** 2
    return weights / weights.sum(axis=-1, keepdims=True)


def _corners(length, size, stride):
    return range(0, length - size + 1, stride)


def _patches(image, size, stride, lay=np.ravel, corners=_corners, by_columns=False):
    H, W, _ = image.shape
    places = [(top, left) for top in corners(H, size, stride) for left in corners(W, size, stride)]
    if by_columns:
        places.sort(key=lambda place: place[::-1])
    return np.stack([lay(image[top : top + size, left : left + size]) for top, left in places])


def _tiles(image, size):
    H, W = image.shape
    return image.reshape(H // size, size, W // size, size).swapaxes(1, 2).reshape(-1, size, size)


def _joined(tiles, shape):
    size = tiles.shape[-1]
    rows, columns = shape[0] // size, shape[1] // size
    return tiles.reshape(rows, columns, size, size).swapaxes(1, 2).reshape(shape)


def _shuffled(image, size, order):
    return _joined(_tiles(image, size)[order], image.shape)


def _attention_map(weights, rows, columns):
    shares = weights[:, 0, 1:].mean(axis=0)
    return (shares / shares.sum()).reshape(rows, columns)


def _normalised(shares):
    return shares / shares.sum()


_PATCH_MISTAKES = [
    Mistake(
        lambda image, size, stride: _patches(image, size, size),
        "the patches do not overlap: the next one begins `stride` pixels further, not `size`.",
        "图像块没有重叠：下一块从 `stride` 个像素之后开始，而不是 `size`。",
    ),
    Mistake(
        lambda image, size, stride: _patches(
            image, size, stride, corners=lambda length, size, stride: range(0, length - size, stride)
        ),
        "the last patch of each row and column is missing: range(0, H - size + 1, stride) reaches it.",
        "每行每列都少了最后一块：用 range(0, H - size + 1, stride) 才取得到。",
    ),
    Mistake(
        lambda image, size, stride: _patches(image, size, stride, by_columns=True),
        "the patches stand column by column: in reading order the rows are the outer loop.",
        "图像块是逐列排的：按阅读次序，外层循环应当是行。",
    ),
    Mistake(
        lambda image, size, stride: _patches(image, size, stride, lay=lambda p: p.swapaxes(0, 1).ravel()),
        "the pixels inside a patch stand column by column: lay them row by row.",
        "块内的像素是逐列排的：应当逐行排。",
    ),
    Mistake(
        lambda image, size, stride: _patches(image, size, stride, lay=lambda p: p.transpose(2, 0, 1).ravel()),
        "the channels come first: at each pixel its channels stand together, channels last.",
        "通道排在了最前面：每个像素的各个通道应当挨在一起，通道在最后。",
    ),
    Mistake(
        lambda image, size, stride: _patches(image, size, stride, lay=lambda p: p),
        "a patch is still a square: lay its numbers in one row, with reshape(-1).",
        "图像块还是方的：请用 reshape(-1) 把它的数排成一行。",
    ),
    Mistake(
        lambda image, size, stride: _patches(image, size, stride, lay=lambda p: p.mean(axis=(0, 1))),
        "each patch was averaged: keep all its pixels.",
        "每个图像块被取了平均：请保留它的全部像素。",
    ),
    Mistake(
        lambda image, size, stride: image[: len(image) // size * size, : image.shape[1] // size * size].reshape(
            -1, size * size * image.shape[2]
        ),
        "a bare reshape cuts rows of pixels, not squares: the pixels of a patch do not lie side by side in memory.",
        "只用 reshape 切出来的是一行行像素，不是方块：一个图像块的像素在内存里并不相邻。",
    ),
]

_SHUFFLE_MISTAKES = [
    Mistake(
        lambda image, size, order: _joined(_tiles(image, size)[np.argsort(order)], image.shape),
        "the order is used backwards: patch order[i] goes to place i, not patch i to place order[i].",
        "次序用反了：放到位置 i 的是图像块 order[i]，而不是把图像块 i 放到位置 order[i]。",
    ),
    Mistake(
        lambda image, size, order: image.reshape(len(order), -1)[order].reshape(image.shape),
        "rows of pixels were moved, not squares: cut `size` by `size` patches first.",
        "移动的是一行行像素，不是方块：请先切成 `size` 乘 `size` 的图像块。",
    ),
    Mistake(
        lambda image, size, order: _joined(_tiles(image, size)[order].swapaxes(1, 2), image.shape),
        "the patches were turned over: inside a patch every pixel stays where it is.",
        "图像块被翻转了：块内的每个像素都应当留在原处。",
    ),
    Mistake(
        lambda image, size, order: image,
        "nothing moved: return the image with its patches in the new order.",
        "什么都没动：请返回按新次序排好的图像。",
    ),
    Mistake(
        lambda image, size, order: _joined(_tiles(image, size)[::-1], image.shape),
        "the patches stand backwards, whatever the order says.",
        "不管次序怎么说，图像块都是倒着排的。",
    ),
    Mistake(
        lambda image, size, order: _tiles(image, size)[order],
        "these are the patches in a row: put them together to an image again.",
        "这是排成一列的图像块：请把它们重新拼成一张图像。",
    ),
    Mistake(
        lambda image, size, order: _tiles(image, size)[order].reshape(image.shape),
        "a bare reshape lays the patches out as rows of pixels: put each square at its place.",
        "只用 reshape，图像块会被摊成一行行像素：请把每个方块放到它的位置上。",
    ),
    Mistake(
        lambda image, size, order: _joined(
            _tiles(image, size)
            .reshape(image.shape[0] // size, -1, size, size)
            .swapaxes(0, 1)
            .reshape(-1, size, size)[order],
            image.shape,
        ),
        "the patches were numbered column by column: number them in reading order.",
        "图像块是逐列编号的：应当按阅读次序编号。",
    ),
]

_MAP_MISTAKES = [
    Mistake(
        lambda weights, rows, columns: weights[:, 0, 1:].mean(axis=0).reshape(rows, columns),
        "the map does not sum to 1: divide by the sum of what the patches got.",
        "图的总和不是 1：请除以各图像块所得之和。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, 1:, 0].mean(axis=0)).reshape(rows, columns),
        "these are the weights of the patches on the class token: take its row, weights[:, 0], not its column.",
        "这是各图像块给类别词元的权重：请取它那一行 weights[:, 0]，而不是那一列。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[0, 0, 1:]).reshape(rows, columns),
        "this is the first head alone: average over all heads.",
        "这只是第一个头：请对所有的头取平均。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, 0, 1:].max(axis=0)).reshape(rows, columns),
        "this takes the largest head at each patch: average over the heads.",
        "这是在每个图像块处取最大的头：请对各个头取平均。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, 0, :-1].mean(axis=0)).reshape(rows, columns),
        "the class token is on the map and the last patch is missing: the patches begin at index 1.",
        "图上有类别词元，却少了最后一个图像块：图像块从下标 1 开始。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, -1, 1:].mean(axis=0)).reshape(rows, columns),
        "this is the last patch's row: the class token stands first, at index 0.",
        "这是最后一个图像块的那一行：类别词元站在最前面，下标是 0。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, :, 1:].mean(axis=(0, 1))).reshape(rows, columns),
        "this averages over all queries: take the class token's row only.",
        "这是对所有查询取的平均：只取类别词元那一行。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, 0, 1:].mean(axis=0)).reshape(columns, rows).T,
        "the map is turned over: patches stand in reading order, row by row.",
        "图被转置了：图像块按阅读次序，一行一行地排。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(np.exp(weights[:, 0, 1:].mean(axis=0))).reshape(rows, columns),
        "softmax was taken once more: the weights already are shares, divide by their sum.",
        "又做了一次 softmax：权重本来就是份额，除以它们的和即可。",
    ),
    Mistake(
        lambda weights, rows, columns: _normalised(weights[:, 0, 1:].mean(axis=0)),
        "the map is a row of numbers: give it the shape (rows, columns).",
        "图还是一列数：请把形状变成 (rows, columns)。",
    ),
]
