"""Hard attention: equal to the reference and to torch's own, the right chances, masks that hide, gradients by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import FAST
from hypothesis import given

import lib.reference.hard as reference
from lib import hard
from lib.attention import softmax

BOTH = pytest.mark.parametrize(("library", "array"), [(reference, np.asarray), (hard, torch.tensor)], ids=["np", "pt"])


@st.composite
def rows(draw):
    """Draw scores (..., S) with ties, noise of the same shape and a mask or None, which may blank whole rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 6)))
    scores = rng.standard_normal(shape) if draw(st.booleans()) else rng.integers(-1, 2, shape).astype(float)
    mask = None
    if draw(st.booleans()):
        mask = rng.random(shape[draw(st.integers(0, len(shape) - 1)) :]) < draw(st.sampled_from([0.0, 0.4, 0.8]))
    return scores * draw(st.sampled_from([0.1, 1.0, 1e3])), rng.gumbel(size=shape), mask


def tensor(array):
    return None if array is None else torch.tensor(array)


def same(ours, expected):
    np.testing.assert_allclose(np.asarray(ours.detach()), expected, rtol=1e-10, atol=1e-12)


@FAST
@given(rows(), st.integers(1, 6), st.sampled_from([0.1, 1.0, 5.0]))
def test_torch_equals_the_reference(problem, k, temperature):
    (scores, noise, mask), k = problem, min(k, problem[0].shape[-1])
    s, n, m = map(tensor, problem)
    same(hard.argmax_attention(s, m), reference.argmax_attention(scores, mask))
    same(hard.top_k_attention(s, k, m), reference.top_k_attention(scores, k, mask))
    soft = reference.gumbel_softmax(scores, noise, mask, temperature=temperature)
    same(hard.gumbel_softmax(s, n, m, temperature=temperature), soft)
    ours, expected = hard.sample_attention(s, n, m), reference.sample_attention(scores, noise, mask)
    same(ours.index, expected.index)
    same(ours.weights, expected.weights)
    seen = np.isfinite(expected.log_probability)  # the reference takes the logarithm of what softmax rounds to 0
    same(ours.log_probability[torch.tensor(seen)], expected.log_probability[seen])
    same(hard.straight_through_gumbel(s, n, m, temperature=temperature), expected.weights)


@FAST
@given(rows(), st.integers(1, 6))
def test_what_is_chosen(problem, k):
    (scores, noise, mask), k = problem, min(k, problem[0].shape[-1])
    allowed = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    before = scores.copy()
    weights = reference.top_k_attention(scores, k, mask)
    one = reference.argmax_attention(scores, mask)
    drawn = reference.sample_attention(scores, noise, mask)
    assert np.array_equal(scores, before)
    for row in np.ndindex(scores.shape[:-1]):
        places = np.flatnonzero(allowed[row])
        ranked = sorted(places, key=lambda j: (-scores[row][j], j))
        assert set(np.flatnonzero(weights[row])) <= set(ranked[:k])
        assert set(np.flatnonzero(one[row])) == set(ranked[:1])
        assert np.isclose(weights[row].sum(), len(places) > 0)
        assert set(np.unique(one[row])) <= {0.0, 1.0}
        assert drawn.index[row] == (max(places, key=lambda j: (scores + noise)[row][j]) if len(places) else -1)
        assert (drawn.weights[row].sum() == 1) == (len(places) > 0)


def test_of_equal_scores_the_first_is_chosen_also_in_long_rows():
    for library, array in ((reference, np.asarray), (hard, torch.tensor)):
        for S in (3, 17, 300):
            scores = array(np.zeros((2, S)))
            assert np.flatnonzero(np.asarray(library.argmax_attention(scores)[1])).tolist() == [0]
            assert np.flatnonzero(np.asarray(library.top_k_attention(scores, 2)[0])).tolist() == [0, 1]


def test_with_all_kept_or_one_kept_top_k_is_softmax_or_arg_max():
    scores = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(hard.top_k_attention(scores, 5), softmax(scores))
    assert torch.equal(hard.top_k_attention(scores, 1), hard.argmax_attention(scores))
    assert torch.equal(hard.argmax_attention(scores), F.one_hot(scores.argmax(-1), 5).double())


@BOTH
def test_draws_have_the_probabilities_of_softmax(library, array):
    generator = np.random.default_rng(0) if library is reference else torch.Generator().manual_seed(0)
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05, 1.0]))
    mask = array(np.array([True, True, True, True, False]))
    many = np.tile(scores, (100_000, 1))
    options = {} if library is reference else {"dtype": torch.float64}
    noise = library.gumbel_noise(many.shape, generator=generator, **options)
    drawn = library.sample_attention(array(many), noise, mask)
    shares = np.asarray(drawn.weights).mean(axis=0)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.15, 0.05, 0], atol=5 * 0.5 / np.sqrt(100_000))
    assert np.array_equal(np.asarray(drawn.weights).argmax(-1), np.asarray(drawn.index))
    probability = np.array([0.5, 0.3, 0.15, 0.05, 0])[np.asarray(drawn.index)]
    np.testing.assert_allclose(np.exp(np.asarray(drawn.log_probability)), probability)
    noise = np.asarray(noise)
    assert abs(noise.mean() - np.euler_gamma) < 0.01
    assert abs(noise.var() - np.pi**2 / 6) < 0.02


def test_the_log_probability_is_that_of_torchs_distribution():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    drawn = hard.sample_attention(scores, hard.gumbel_noise((7, 5), generator=generator, dtype=torch.float64))
    theirs = torch.distributions.Categorical(logits=scores).log_prob(drawn.index)
    assert torch.allclose(drawn.log_probability, theirs)
    ours, expected = (torch.autograd.grad(x.sum(), scores)[0] for x in (drawn.log_probability, theirs))
    assert torch.allclose(ours, expected)
    assert not drawn.weights.requires_grad


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_relaxations_are_those_of_torch(temperature):
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    probe = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    for ours, is_hard in ((hard.gumbel_softmax, False), (hard.straight_through_gumbel, True)):
        torch.manual_seed(2)
        theirs = F.gumbel_softmax(scores, tau=temperature, hard=is_hard)
        torch.manual_seed(2)
        weights = ours(scores, hard.gumbel_noise(scores.shape), temperature=temperature)
        assert torch.allclose(weights, theirs, atol=1e-6)
        gradients = [torch.autograd.grad((w * probe).sum(), scores)[0] for w in (weights, theirs)]
        assert torch.allclose(*gradients, atol=1e-6)


def test_straight_through_gives_exactly_0_and_1():
    scores = torch.randn(500, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = hard.straight_through_gumbel(scores, hard.gumbel_noise(scores.shape), temperature=0.7)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    assert (weights.sum(-1) == 1).all()


@FAST
@given(rows(), st.floats(-3, 3))
def test_the_score_function_gives_the_gradient_by_hand(problem, baseline):
    scores, noise, _ = problem
    s = torch.tensor(scores, requires_grad=True)
    drawn = hard.sample_attention(s, torch.tensor(noise))
    loss = torch.arange(drawn.index.numel(), dtype=torch.float64).reshape(drawn.index.shape)
    surrogate = hard.score_function_loss(drawn.log_probability, loss, baseline)
    assert torch.equal(surrogate, loss)
    (ours,) = torch.autograd.grad(surrogate.sum(), s)
    same(ours, reference.score_function_gradient(scores, drawn.index.numpy(), loss.numpy(), baseline))


@pytest.mark.parametrize("baseline", [0.0, 2.5, -7.0])
def test_its_mean_over_all_choices_is_the_exact_gradient(baseline):
    rng = np.random.default_rng(0)
    scores, losses = rng.standard_normal((2, 6))
    p = np.exp(scores) / np.exp(scores).sum()
    mean = sum(
        p[j] * reference.score_function_gradient(scores, np.array(j), losses[j], np.array(baseline)) for j in range(6)
    )
    exact = reference.expected_loss_gradient(scores, losses)
    np.testing.assert_allclose(mean, exact, atol=1e-12)
    s = torch.tensor(scores, requires_grad=True)
    (by_autograd,) = torch.autograd.grad((s.softmax(-1) * torch.tensor(losses)).sum(), s)
    same(by_autograd, exact)


def test_the_losses_own_gradient_passes_through_and_the_baselines_does_not():
    reader, baseline = (torch.tensor(x, requires_grad=True) for x in (2.0, 1.0))
    log_probability = torch.tensor([-1.0, -2.0], requires_grad=True)
    hard.score_function_loss(log_probability, reader * torch.tensor([1.0, 3.0]), baseline).sum().backward()
    assert reader.grad.item() == 4.0
    assert baseline.grad is None
    assert log_probability.grad.tolist() == [1.0, 5.0]


def test_an_arg_max_has_no_gradient_and_top_k_only_for_what_it_keeps():
    scores = torch.tensor([0.3, 1.0, -2.0, 0.9], requires_grad=True)
    assert not hard.argmax_attention(scores).requires_grad
    probe = torch.tensor([1.0, 2.0, 3.0, 5.0])
    (kept,) = torch.autograd.grad((hard.top_k_attention(scores, 2) * probe).sum(), scores)
    assert (kept != 0).tolist() == [False, True, False, True]
    (alone,) = torch.autograd.grad((hard.top_k_attention(scores, 1) * probe).sum(), scores)
    assert (alone == 0).all()


def test_gradients_are_the_slopes():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    noise = hard.gumbel_noise((3, 4), generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    assert torch.autograd.gradcheck(lambda s: hard.gumbel_softmax(s, noise, mask, temperature=0.8), scores)
    assert torch.autograd.gradcheck(lambda s: hard.top_k_attention(s, 2, mask), scores)
    assert torch.autograd.gradcheck(lambda s: hard.sample_attention(s, noise, mask).log_probability, scores)


def test_a_row_with_nothing_to_attend_to_gives_zeros_and_no_gradient():
    scores = torch.tensor([[1e4, 0.0], [1.0, 2.0]], requires_grad=True)
    mask = torch.tensor([[False, False], [True, True]])
    noise = torch.zeros(2, 2)
    drawn = hard.sample_attention(scores, noise, mask)
    assert drawn.index.tolist() == [-1, 1]
    assert drawn.log_probability[0].item() == 0.0
    made = [hard.straight_through_gumbel(scores, noise, mask), hard.top_k_attention(scores, 2, mask)]
    for output in [*made, drawn.log_probability[:, None]]:
        with torch.autograd.set_detect_anomaly(True):  # refuses NaN also where a later step would hide it
            (gradient,) = torch.autograd.grad(output.square().sum(), scores, retain_graph=True)
        assert (gradient[0] == 0).all()
        assert gradient.isfinite().all()
        assert (output[0] == 0).all()


WRONG = [
    ("argmax_attention", (np.ones(3, dtype=int),), {}, "scores must hold floating-point numbers but has dtype int64"),
    ("argmax_attention", (np.ones((2, 0)),), {}, "scores is empty: shape (2, 0), but every axis needs a length of"),
    ("argmax_attention", (np.ones(3), np.ones(3)), {}, "mask must be boolean (True = may attend) but has dtype"),
    ("argmax_attention", (np.ones(3), np.ones(2, bool)), {}, "mask has shape (2,) but the scores have shape (3,)"),
    ("top_k_attention", (np.ones(5), 7), {}, "k=7 elements to choose but S=5"),
    ("top_k_attention", (np.ones(5), 0), {}, "k must be an integer of at least 1 but is 0"),
    ("top_k_attention", (np.ones(5), 1.5), {}, "k must be an integer of at least 1 but is 1.5"),
    ("sample_attention", (np.ones(5), np.ones(4)), {}, "noise must have shape (5,) but has (4,)"),
    ("sample_attention", (np.ones(5), np.ones(5, "f4")), {}, "scores has dtype float64 but noise has float32"),
    ("gumbel_softmax", (np.ones(5), np.ones(5)), {"temperature": 0}, "temperature must be above 0 but is 0"),
    ("gumbel_softmax", (np.ones(5), np.ones(5)), {"temperature": float("nan")}, "temperature must be above 0 but is"),
]


@BOTH
@pytest.mark.parametrize(("name", "arguments", "options", "message"), WRONG)
def test_a_mistake_is_refused_by_its_numbers(library, array, name, arguments, options, message):
    arguments = [array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        getattr(library, name)(*arguments, **options)
    assert str(caught.value).startswith(message)


def test_the_rest_of_the_mistakes():
    with pytest.raises(ValueError, match=r"^loss must have shape \(3,\) but has \(2,\)$"):
        hard.score_function_loss(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"^temperature must be above 0 but is -1$"):
        hard.straight_through_gumbel(torch.zeros(3), torch.zeros(3), temperature=-1)
    with pytest.raises(ValueError, match=r"^index must have shape \(2,\) but has \(\)$"):
        reference.score_function_gradient(np.zeros((2, 3)), np.array(1), np.zeros(2))
    with pytest.raises(ValueError, match=r"^loss must have shape \(2,\) but has \(3,\)$"):
        reference.score_function_gradient(np.zeros((2, 3)), np.zeros(2, int), np.zeros(3))
    with pytest.raises(ValueError, match=r"^losses must have shape \(2, 3\) but has \(3,\)$"):
        reference.expected_loss_gradient(np.zeros((2, 3)), np.zeros(3))
