"""Little passages about invented people, and questions whose answer stands in the passage: generated from a seed.

Origin and licence: ours, MIT. The people are invented, so that nobody can answer from memory.

A passage tells two facts each about two people. A question asks for one of them. First names, family names and places
are divided between training and test, so that no name and no place of a test question was seen in training. The test
asks in two ways: with the wordings of the training questions, and with others that share no telling word with them.
"""

import random
from typing import NamedTuple

WORDS = {  # first of training, second of the test: they share no word
    "first": (
        "Anna,Boris,Clara,David,Elena,Felix,Greta,Hugo,Irene,Jonas,Klara,Leon,Maria,Nora,Oscar,Paula",
        "Robert,Sofia,Thomas,Ursula,Victor,Wanda,Xenia,Yusuf,Alice,Simon,Judith,Martin",
    ),
    "family": (
        "Adler,Brandt,Costa,Duarte,Ekberg,Fischer,Garcia,Hansen,Ivanov,Jensen,Keller,Larsen,Moreau,Novak,Olsen,Peters",
        "Quinn,Rossi,Schmidt,Tanaka,Ueda,Vargas,Walker,Young,Zhang,Hughes,Cooper,Murphy",
    ),
    "place": (
        "Lisbon,Vienna,Oslo,Madrid,Warsaw,Dublin,Prague,San Francisco,Los Angeles,Hong Kong,Rio Grande,Santa Fe",
        "Cairo,Tokyo,Chicago,Sydney,Havana,Nairobi,New York,Buenos Aires,Kuala Lumpur,Mexico City",
    ),
    "work": (
        "baker,painter,lawyer,dentist,farmer,sailor,tailor,taxi driver,school teacher,film director",
        "nurse,carpenter,singer,chemist,butcher,gardener,bank clerk,train conductor,head cook",
    ),
    "thing": ("violin,piano,flute,trumpet,cello,bass guitar", "drums,harp,clarinet,banjo,church organ"),
    "year": (",".join(map(str, range(1990, 2020))), ",".join(map(str, range(1960, 1990)))),
}


class Relation(NamedTuple):
    """One kind of fact: how passages tell it, how training asks for it, how the other test asks for it."""

    told: tuple[str, ...]
    asked: tuple[str, ...]
    otherwise: tuple[str, ...]


RELATIONS = {
    "place": Relation(
        ("{name} was born in {value}.", "{name} grew up in {value}."),
        ("Where was {name} born?", "Where did {name} grow up?"),
        ("What is the home town of {name}?", "Which city does {name} come from?"),
    ),
    "work": Relation(
        ("{name} works as a {value}.", "{name} became a {value}."),
        ("What does {name} work as?", "What did {name} become?"),
        ("What is the profession of {name}?", "How does {name} earn a living?"),
    ),
    "year": Relation(
        ("{name} married in {value}.", "{name} had a wedding in {value}."),
        ("When did {name} marry?", "When was the wedding of {name}?"),
        ("Since which year has {name} had a spouse?", "In which year did {name} say yes at the altar?"),
    ),
    "thing": Relation(
        ("{name} plays the {value}.", "{name} practises the {value} every day."),
        ("What does {name} play?", "What does {name} practise?"),
        ("Which instrument belongs to {name}?", "On what does {name} make music?"),
    ),
}


class Question(NamedTuple):
    """A passage, a question and the answer.

    Attributes:
        passage: Four sentences.
        question: One.
        answer: Characters `start` to `end` of the passage.
        start: Where the answer begins in the passage.
        end: Where it ends; `passage[start:end] == answer`.
        relation: What is asked for, a key of `RELATIONS`.
    """

    passage: str
    question: str
    answer: str
    start: int
    end: int
    relation: str


def questions(number: int, *, seed: int, test: bool = False, otherwise: bool = False) -> list[Question]:
    """Make up passages with a question each.

    Args:
        number: How many.
        seed: Draws everything.
        test: Whether names, places, years, work and instruments are those that training never uses.
        otherwise: Whether the questions are worded otherwise than in training.

    Returns:
        The questions.

    Raises:
        ValueError: When `number` is below 1.

    Example:
        >>> one = questions(1, seed=0)[0]
        >>> one.passage.count("."), one.question
        (4, 'When was the wedding of Maria Brandt?')
        >>> one.passage[one.start : one.end] == one.answer
        True
    """
    if number < 1:
        raise ValueError(f"number must be at least 1 but is {number}")
    rng = random.Random(f"{seed} {test}")
    return [_question(rng, test, otherwise) for _ in range(number)]


def _question(rng: random.Random, test: bool, otherwise: bool) -> Question:
    drawn = {key: rng.sample(words[test].split(","), 2) for key, words in WORDS.items()}
    names = [" ".join(pair) for pair in zip(drawn["first"], drawn["family"], strict=True)]
    relations = rng.sample(list(RELATIONS), 2)
    facts = [(person, relation) for person in range(2) for relation in relations]
    wording = {relation: rng.randrange(2) for relation in relations}
    rng.shuffle(facts)
    asked = rng.choice(facts)
    passage, start = "", 0
    for person, relation in facts:
        sentence = RELATIONS[relation].told[wording[relation]]
        if (person, relation) == asked:
            start = len(passage) + len(sentence.partition("{value}")[0].format(name=names[person]))
        passage += sentence.format(name=names[person], value=drawn[relation][person]) + " "
    person, relation = asked
    answer = drawn[relation][person]
    ways = RELATIONS[relation].otherwise if otherwise else RELATIONS[relation].asked
    question = ways[wording[relation]].format(name=names[person])
    return Question(passage.strip(), question, answer, start, start + len(answer), relation)
