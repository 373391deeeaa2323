"""The contracts of attention: one check a rule, shared by NumPy and PyTorch, so that both raise the same words.

The checks look at `shape` and `dtype` only; they accept NumPy arrays and torch tensors alike and import neither.
"""

from typing import Any


def dtype_name(array: Any) -> str:
    """Name the dtype of a NumPy array or a torch tensor the same way, such as `float32`."""
    return str(array.dtype).removeprefix("torch.")


def check_floats(least_rank: int = 0, **arrays: Any) -> None:
    """Refuse arrays that do not hold floating-point numbers, have too few axes, or have an empty axis.

    Args:
        least_rank: Number of axes that each array has at least.
        **arrays: Arrays by the name that the error message gives them. They share one dtype.

    Raises:
        ValueError: On another dtype than floating point, on mixed dtypes, too few axes, or an axis of length 0.

    Example:
        >>> import numpy as np
        >>> check_floats(query=np.ones(3, dtype=int))
        Traceback (most recent call last):
        ...
        ValueError: query must hold floating-point numbers but has dtype int64
    """
    first = next(iter(arrays))
    for name, array in arrays.items():
        shape = tuple(array.shape)
        if "float" not in dtype_name(array):
            raise ValueError(f"{name} must hold floating-point numbers but has dtype {dtype_name(array)}")
        if dtype_name(array) != dtype_name(arrays[first]):
            raise ValueError(f"{first} has dtype {dtype_name(arrays[first])} but {name} has {dtype_name(array)}")
        if len(shape) < least_rank:
            raise ValueError(f"{name} has rank {len(shape)}, shape {shape}, but needs at least rank {least_rank}")
        if 0 in shape:
            raise ValueError(f"{name} is empty: shape {shape}, but every axis needs a length of at least 1")


def check_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array whose shape is not exactly `shape`."""
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} must have shape {shape} but has {tuple(array.shape)}")


def check_rank(rank: int, **arrays: Any) -> None:
    """Refuse arrays that do not have exactly `rank` axes."""
    for name, array in arrays.items():
        if len(array.shape) != rank:
            raise ValueError(f"{name} has rank {len(array.shape)}, shape {tuple(array.shape)}, but needs rank {rank}")


def check_width(name: str, array: Any, width_name: str, width: int) -> None:
    """Refuse an array whose last axis does not have this width."""
    if array.shape[-1] != width:
        raise ValueError(f"{name} has width {array.shape[-1]} but {width_name}={width}")


def check_leading_axes(**arrays: Any) -> None:
    """Refuse arrays whose axes before the last two differ: nothing is broadcast silently."""
    first = next(iter(arrays))
    expected = tuple(arrays[first].shape[:-2])
    for name, array in arrays.items():
        if tuple(array.shape[:-2]) != expected:
            raise ValueError(f"{first} has leading axes {expected} but {name} has {tuple(array.shape[:-2])}")


def check_same_width(query: Any, key: Any) -> None:
    """Refuse a query and a key of different width d_k."""
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query has d_k={query.shape[-1]} but key has d_k={key.shape[-1]}")


def check_same_length(key: Any, value: Any) -> None:
    """Refuse a key and a value of different length S."""
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"key has S={key.shape[-2]} but value has S={value.shape[-2]}")


def check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    """Refuse a mask that is not boolean or does not broadcast to `shape` without enlarging it.

    Args:
        mask: The mask, or None, which is always right.
        shape: Shape of the scores that the mask is for.

    Raises:
        ValueError: When the mask is not boolean, or one of its axes, counted from the last, is neither 1 nor as long
            as that axis of the scores.

    Example:
        >>> import numpy as np
        >>> check_mask(np.ones((3, 1, 5), dtype=bool), (2, 4, 5))
        Traceback (most recent call last):
        ...
        ValueError: mask has shape (3, 1, 5) but the scores have shape (2, 4, 5): it does not broadcast
    """
    if mask is None:
        return
    if dtype_name(mask) != "bool":
        raise ValueError(f"mask must be boolean (True = may attend) but has dtype {dtype_name(mask)}")
    _check_broadcast("mask", mask, shape)


def check_bias(bias: Any, query: Any, shape: tuple[int, ...]) -> None:
    """Refuse a bias that does not hold numbers like the query's or does not broadcast to `shape` without enlarging it.

    Args:
        bias: The bias, or None, which is always right.
        query: The query whose scores it is added to; both have one dtype.
        shape: Shape of these scores.

    Raises:
        ValueError: When the bias is not floating point, is empty or has another dtype than the query, or one of its
            axes, counted from the last, is neither 1 nor as long as that axis of the scores.

    Example:
        >>> import numpy as np
        >>> check_bias(np.ones((8, 5, 5)), np.ones((2, 4, 5, 6)), (2, 4, 5, 5))
        Traceback (most recent call last):
        ...
        ValueError: bias has shape (8, 5, 5) but the scores have shape (2, 4, 5, 5): it does not broadcast
    """
    if bias is not None:
        check_floats(query=query, bias=bias)
        _check_broadcast("bias", bias, shape)


def _check_broadcast(name: str, array: Any, shape: tuple[int, ...]) -> None:
    got = tuple(array.shape)
    fits = all(m in (1, n) for m, n in zip(reversed(got), reversed(shape), strict=False))
    if len(got) > len(shape) or not fits:
        raise ValueError(f"{name} has shape {got} but the scores have shape {tuple(shape)}: it does not broadcast")


def check_heads(d_model: int, num_heads: int) -> None:
    """Refuse a number of heads that does not divide the width of the model."""
    check_count("d_model", d_model)
    check_count("num_heads", num_heads)
    if d_model % num_heads:
        raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse anything but an integer of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} must be an integer of at least {least} but is {value!r}")


def check_even(name: str, value: Any) -> None:
    """Refuse anything but an even integer of at least 2."""
    check_count(name, value)
    if value % 2:
        raise ValueError(f"{name} must be even but is {value}")


def check_room(T: int, offset: int, max_length: int) -> None:
    """Refuse a sequence that is longer than the table of positions.

    Example:
        >>> check_room(6, 3, 8)
        Traceback (most recent call last):
        ...
        ValueError: x has T=6 places from place 3 on but max_length=8
    """
    check_count("offset", offset, 0)
    if offset + T > max_length:
        raise ValueError(f"x has T={T} places from place {offset} on but max_length={max_length}")


def check_rotation(x: Any, offset: int, base: float) -> None:
    """Refuse vectors that cannot be rotated pair by pair, a place before the first, or a base that is not positive."""
    check_floats(2, x=x)
    check_even("d_k", x.shape[-1])
    check_count("offset", offset, 0)
    if not base > 0:
        raise ValueError(f"base must be above 0 but is {base}")


def check_buckets(num_buckets: int, max_distance: int, bidirectional: bool) -> None:
    """Refuse buckets of distances that cannot be laid out: half of them hold one distance each, the rest ranges.

    Example:
        >>> check_buckets(32, 8, bidirectional=True)
        Traceback (most recent call last):
        ...
        ValueError: max_distance=8 is not above the 8 distances that have a bucket each
    """
    if bidirectional:
        check_even("num_buckets", num_buckets)
    check_count("num_buckets", num_buckets, 4 if bidirectional else 2)
    check_count("max_distance", max_distance)
    exact = num_buckets // (4 if bidirectional else 2)
    if max_distance <= exact:
        raise ValueError(f"max_distance={max_distance} is not above the {exact} distances that have a bucket each")


def check_lengths(lengths: Any, longest: int) -> None:
    """Refuse sequence lengths that are not a row of integers between 0 and `longest`.

    Example:
        >>> import numpy as np
        >>> check_lengths(np.array([3, 7]), 5)
        Traceback (most recent call last):
        ...
        ValueError: lengths holds 7 but S=5
    """
    check_rank(1, lengths=lengths)
    if "int" not in dtype_name(lengths):
        raise ValueError(f"lengths must hold integers but has dtype {dtype_name(lengths)}")
    if len(lengths) == 0:
        raise ValueError("lengths is empty: shape (0,), but every axis needs a length of at least 1")
    if int(lengths.max()) > longest:
        raise ValueError(f"lengths holds {int(lengths.max())} but S={longest}")
    if int(lengths.min()) < 0:
        raise ValueError(f"lengths holds {int(lengths.min())} but a length is at least 0")


def check_attention(query: Any, key: Any, value: Any) -> None:
    """Refuse a query, key and value that do not belong together.

    Example:
        >>> import numpy as np
        >>> check_attention(np.ones((3, 4)), np.ones((5, 8)), np.ones((5, 2)))
        Traceback (most recent call last):
        ...
        ValueError: query has d_k=4 but key has d_k=8
    """
    check_floats(2, query=query, key=key, value=value)
    check_leading_axes(query=query, key=key, value=value)
    check_same_width(query, key)
    check_same_length(key, value)


def check_query_key(query: Any, key: Any, **weights: Any) -> None:
    """Refuse a query and a key, perhaps with learned weights, whose dtypes, ranks or leading axes do not fit."""
    check_floats(query=query, key=key, **weights)
    check_floats(2, query=query, key=key)
    check_leading_axes(query=query, key=key)


def check_inputs(inputs: dict[str, Any], widths: dict[str, int]) -> None:
    """Refuse query, key and value of multi-head attention that do not fit together or do not have these widths."""
    check_floats(**inputs)
    check_rank(3, **inputs)
    check_leading_axes(**inputs)
    check_same_length(inputs["key"], inputs["value"])
    for (name, array), (width_name, width) in zip(inputs.items(), widths.items(), strict=True):
        check_width(name, array, width_name, width)


def check_multi_head(inputs: dict[str, Any], weights: dict[str, Any], num_heads: int) -> None:
    """Refuse inputs (query, key, value) and weights (w_query, w_key, w_value, w_output) that do not fit together."""
    check_floats(**inputs, **weights)
    check_rank(3, **inputs)
    d_model = inputs["query"].shape[-1]
    check_heads(d_model, num_heads)
    check_leading_axes(**inputs)
    check_same_length(inputs["key"], inputs["value"])
    rows = (d_model, inputs["key"].shape[-1], inputs["value"].shape[-1], d_model)
    for (name, weight), width in zip(weights.items(), rows, strict=True):
        check_shape(name, weight, (width, d_model))


def mask_for_heads(mask: Any, shape: tuple[int, int, int, int]) -> Any:
    """Give a mask of shape (T, S), (B, T, S) or (B, H, T, S) the axes of the scores (B, H, T, S); any axis may be 1."""
    B, _, T, S = shape
    if mask is not None and len(mask.shape) == 3:
        check_mask(mask, (B, T, S))
        return mask[:, None]  # (B, 1, T, S): the same for every head
    check_mask(mask, shape)
    return mask


def check_groups(query: Any, key: Any, value: Any) -> None:
    """Refuse heads of queries (B, H, T, d) that cannot be shared out among those of keys and values (B, G, S, d).

    Example:
        >>> import numpy as np
        >>> check_groups(np.ones((1, 8, 2, 4)), np.ones((1, 3, 2, 4)), np.ones((1, 3, 2, 4)))
        Traceback (most recent call last):
        ...
        ValueError: num_heads=8 is not divisible by num_kv_heads=3
    """
    check_floats(4, query=query, key=key, value=value)
    check_rank(4, query=query, key=key, value=value)
    check_leading_axes(key=key, value=value)
    if query.shape[0] != key.shape[0]:
        raise ValueError(f"query has B={query.shape[0]} but key has B={key.shape[0]}")
    check_kv_heads(query.shape[1], key.shape[1])


def check_kv_heads(num_heads: int, num_kv_heads: int) -> None:
    """Refuse a number of key-value heads that does not divide the number of heads."""
    check_count("num_heads", num_heads)
    check_count("num_kv_heads", num_kv_heads)
    if num_heads % num_kv_heads:
        raise ValueError(f"num_heads={num_heads} is not divisible by num_kv_heads={num_kv_heads}")


def check_choices(k: Any, S: int) -> None:
    """Refuse to choose fewer than one element, or more than there are.

    Example:
        >>> check_choices(7, 5)
        Traceback (most recent call last):
        ...
        ValueError: k=7 elements to choose but S=5
    """
    check_count("k", k)
    if k > S:
        raise ValueError(f"k={k} elements to choose but S={S}")


def check_temperature(temperature: Any) -> None:
    """Refuse a temperature that is not above 0."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0 but is {temperature}")
