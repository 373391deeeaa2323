"""Little stories of facts to look things up in, generated from a seed. Licence: ours, MIT."""

from typing import NamedTuple

import torch
from torch import Tensor


class Facts(NamedTuple):
    """A batch of stories, each a memory of facts "subject is with object" and a question.

    Attributes:
        subjects: (B, S) int64, whom each fact is about; no two facts of a story are about the same.
        objects: (B, S) int64, what each fact says of its subject.
        question: (B,) int64, the subject that is asked about.
        support: (B, hops) int64, which facts lead to the answer, one after the other.
        answer: (B,) int64, what the last of them says.
    """

    subjects: Tensor
    objects: Tensor
    question: Tensor
    support: Tensor
    answer: Tensor


def chained_facts(batch: int, items: int, *, hops: int, names: int, generator: torch.Generator | None = None) -> Facts:
    """Tell stories in which the answer is found by following `hops` facts: what the first names, the second is about.

    Args:
        batch: Number of stories B.
        items: Number of facts S in each; `hops` of them lead to the answer, the others distract.
        hops: How many facts have to be followed; at most S.
        names: How many subjects and objects there are to choose from; more than S.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, a `Facts`.

    Raises:
        ValueError: When `batch` or `hops` is below 1, `items` below `hops`, or `names` not above `items`.

    Example:
        >>> story = chained_facts(1, 3, hops=2, names=9, generator=torch.Generator().manual_seed(0))
        >>> first, second = story.support[0]
        >>> bool(story.subjects[0, first] == story.question[0])
        True
        >>> bool(story.objects[0, first] == story.subjects[0, second])
        True
    """
    for name, number, least in (
        ("batch", batch, 1),
        ("hops", hops, 1),
        ("items", items, hops),
        ("names", names, items + 1),
    ):
        if number < least:
            raise ValueError(f"{name} must be at least {least} but is {number}")
    subjects = torch.rand(batch, names, generator=generator).argsort(dim=-1)[:, :items]  # (B, S): all different
    objects = torch.randint(names, (batch, items), generator=generator)
    support = torch.rand(batch, items, generator=generator).argsort(dim=-1)[:, :hops]  # (B, hops): all different
    led_to = subjects.gather(1, support[:, 1:])  # (B, hops - 1)
    objects = objects.scatter(1, support[:, :-1], led_to)
    question = subjects.gather(1, support[:, :1])[:, 0]
    return Facts(subjects, objects, question, support, objects.gather(1, support[:, -1:])[:, 0])
