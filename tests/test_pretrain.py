import copy
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import pairwise

import psutil
import pytest
import torch
from safetensors.torch import load_file

from lib.data.reviews import CLS, MASK, PAD, SEP, UNK, reviews
from lib.models.bert import BERTConfig
from lib.pretrain import __main__ as command
from lib.pretrain import __main__ as command_line
from lib.pretrain.checkpoints import FOLDER, load
from lib.pretrain.recipes import RECIPES, Recipe
from lib.pretrain.training import Training

NAME = "reviews_trial"
TRIAL = RECIPES[NAME]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "BOOK_PROGRESS": "0"}
ALONE = [sys.executable, "-m", "lib.pretrain"]
TOGETHER = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "lib.pretrain",
]


def start(command, folder, *options):
    return subprocess.Popen(
        [*command, NAME, "--folder", str(folder), *options],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(command, folder, *options):
    process = start(command, folder, *options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_after_a_state(process, folder, steps):
    """Kill the process and its children as a power failure would, once a state of at least so many steps is there."""
    state = folder / f"{NAME}.state.partial"
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if state.is_file() and torch.load(state, weights_only=True)["story"]["step"] >= steps:
            break
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[0]
    victims = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims[1:], timeout=30)
    process.communicate()
    return torch.load(state, weights_only=True)["story"]["step"]


def record(folder):
    return json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The small recipe, carried out without a break by one process."""
    folder = tmp_path_factory.mktemp("trial")
    torch.set_num_threads(1)
    output = finish(ALONE, folder)
    assert "step 40 of 40: training loss" in output
    return folder


@pytest.fixture(scope="module")
def training():
    return Training(TRIAL)


def test_the_two_files_are_whole(trial):
    assert sorted(path.name for path in trial.iterdir()) == [f"{NAME}.json", f"{NAME}.safetensors"]
    story = record(trial)
    data = (trial / f"{NAME}.safetensors").read_bytes()
    assert story["sha256"] == hashlib.sha256(data).hexdigest()
    assert {t.dtype for t in load_file(trial / f"{NAME}.safetensors").values()} == {torch.float16}
    assert [point["step"] for point in story["curve"]] == [10, 20, 30, 40]
    assert len(story["first_losses"]) == 20
    assert story["curve"][0]["training_loss"] == pytest.approx(sum(story["first_losses"][:10]) / 10)
    assert story["curve"][-1]["loss"] < story["curve"][0]["loss"] < story["first_losses"][0]
    assert (story["command"], story["processes"]) == (f"python -m lib.pretrain {NAME}", 1)
    assert story["versions"]["torch"] == torch.__version__
    assert story["recipe"]["seed"] == TRIAL.seed
    assert 0 < story["processor_seconds"] <= story["seconds"] + 1


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(trial, tmp_path):
    process = start(ALONE, tmp_path, "--pause", "0")
    assert kill_after_a_state(process, tmp_path, 13) < 40
    assert not (tmp_path / f"{NAME}.safetensors").exists()
    finish(ALONE, tmp_path)
    again, whole = record(tmp_path), record(trial)
    assert again["sha256"] == whole["sha256"]
    assert [again[key] for key in ("curve", "first_losses", "test")] == [
        whole[key] for key in ("curve", "first_losses", "test")
    ]
    assert not list(tmp_path.glob("*.partial"))


def test_unless_told_otherwise_a_kill_costs_less_than_a_minute(monkeypatch, tmp_path, training):
    """The clock is ours, ten seconds a step: no state that is written lies a minute behind the one before."""
    clock, written = [0.0], []

    def tick():
        clock[0] += 5
        return clock[0]

    def advance(one):
        tick()
        one.step += 1
        return 0.0

    monkeypatch.setattr(command, "Training", lambda *_, **__: copy.copy(training))
    monkeypatch.setattr(Training, "advance", advance)
    monkeypatch.setattr(command.time, "monotonic", tick)
    monkeypatch.setattr(command, "write", lambda path, data: written.append(clock[0]))
    monkeypatch.setattr(command, "store", lambda name, training, folder: tmp_path)
    monkeypatch.setattr(command, "_told", lambda one: "")
    command.pretrain(NAME, folder=tmp_path)
    assert len(written) >= 5
    assert max(after - before for before, after in pairwise([0, *written])) < 60


def test_two_processes_draw_the_curve_of_one_also_after_a_kill(trial, tmp_path):
    process = start(TOGETHER, tmp_path, "--pause", "0")
    assert kill_after_a_state(process, tmp_path, 13) < 40
    finish(TOGETHER, tmp_path)
    two, one = record(tmp_path), record(trial)
    assert two["processes"] == 2
    assert two["first_losses"] == pytest.approx(one["first_losses"], rel=1e-5)
    for mine, other in zip(two["curve"], one["curve"], strict=True):
        assert mine == pytest.approx(other, rel=1e-3)
    ours, theirs = (load(NAME, folder=folder).model.state_dict() for folder in (tmp_path, trial))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=2e-3)


def test_a_finished_checkpoint_is_not_made_again(trial):
    before = (trial / f"{NAME}.safetensors").stat().st_mtime_ns
    assert "already there" in finish(ALONE, trial)
    assert (trial / f"{NAME}.safetensors").stat().st_mtime_ns == before


def test_a_record_without_its_weights_is_made_anew(trial, tmp_path, monkeypatch):
    shutil.copy(trial / f"{NAME}.json", tmp_path)
    made = []
    monkeypatch.setattr(command_line, "pretrain", lambda name, **given: made.append((name, given["folder"])))
    monkeypatch.setattr(sys, "argv", ["lib.pretrain", NAME, "--folder", str(tmp_path)])
    command_line.main()
    assert made == [(NAME, tmp_path)]


def test_the_first_process_says_whether_a_checkpoint_is_there(trial, tmp_path):
    """On two machines with a folder each, only the first has the files: both end, and the second makes nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank, folder in enumerate((trial, tmp_path)):
        place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [*ALONE, NAME, "--folder", str(folder)]
        processes.append(subprocess.Popen(command, env=ENVIRONMENT | place, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "already there" in said[0]
    assert not said[1]
    assert not list(tmp_path.iterdir())


def test_load_gives_a_model_that_does_what_the_record_says(trial, training):
    model, vocabulary, story = load(NAME, folder=trial)
    assert not model.training
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert vocabulary == training.task.vocabulary
    assert sum(weight.numel() for weight in model.parameters()) == story["parameters"]
    own = training.task.model
    training.task.model = model
    try:
        found = training.task.evaluate("validation")
    finally:
        training.task.model = own
    assert found == pytest.approx(story["validation"], rel=1e-3)


def test_load_refuses_other_weights_and_names_what_is_missing(trial, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(trial, folder)
    path = folder / f"{NAME}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is not the file that reviews_trial\.json describes: its SHA-256 is"):
        load(NAME, folder=folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"safetensors is missing: `python -m lib\.pretrain reviews_trial`"):
        load(NAME, folder=folder)
    shutil.copy(trial / path.name, path)
    (folder / f"{NAME}.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"json is missing: `python -m lib\.pretrain reviews_trial`"):
        load(NAME, folder=folder)


def test_a_batch_depends_on_seed_and_step_alone(training):
    batch = training.task.batch(11)
    torch.manual_seed(99)
    training.task.batch(3)
    for mine, again in zip(batch, training.task.batch(11), strict=True):
        assert torch.equal(mine, again)
    other = Training(replace(TRIAL, seed=1)).task.batch(11)
    assert batch.tokens.shape != other.tokens.shape or not torch.equal(batch.tokens, other.tokens)


def test_batches_hold_training_texts_of_about_one_length_and_the_right_places_are_hidden(training):
    texts = "\n".join(reviews().train.texts)
    seen = set()
    for step in range(8):
        batch = training.task.batch(step)
        assert batch.tokens.shape[0] == TRIAL.batch
        assert batch.lengths.max() <= TRIAL.model.max_length
        special = torch.isin(batch.tokens, torch.tensor([PAD, UNK, CLS, SEP, MASK]))
        assert not (batch.chosen & special).any()
        assert torch.equal(batch.seen[~batch.chosen], batch.tokens[~batch.chosen])
        for row, length in zip(batch.tokens, batch.lengths, strict=True):
            assert (row[length:] == PAD).all()
            assert row[length - 1] == SEP
            text = training.task.vocabulary.decode(row)
            assert "[UNK]" in text or text in texts
            seen.add(text)
        assert (batch.tokens == PAD).float().mean() < 0.4
    assert len(seen) > 7 * TRIAL.batch


def test_the_learning_rate_rises_stays_and_falls():
    recipe = replace(TRIAL, learning_rate=0.5)
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert rates[:6] == pytest.approx([0.5 * n / 6 for n in range(1, 7)])
    assert set(rates[5:21]) == {0.5}
    assert rates[20:] == pytest.approx([0.5 * n / 20 for n in range(20, 0, -1)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1 but is 0"),
        ({"batch": 0}, "batch must be at least 1 but is 0"),
        ({"warmup": 21}, "warmup=21 and decay=20 do not fit into steps=40"),
        ({"warmup": -1}, "warmup=-1 and decay=20"),
        ({"weight_decay": 1.0}, "weight_decay must be at least 0 and below 1 but is 1"),
    ],
)
def test_a_recipe_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TRIAL, **changes)


def test_more_processes_than_texts_are_refused():
    with pytest.raises(ValueError, match="a batch of 8 texts cannot be shared by 9 processes"):
        Training(TRIAL, processes=9)


def test_a_state_of_another_recipe_is_refused_and_a_longer_one_may_go_on(training):
    state = training.state()
    with pytest.raises(ValueError, match="written with another recipe"):
        Training(replace(TRIAL, learning_rate=0.5)).restore(state)
    with pytest.raises(ValueError, match="written with another vocabulary"):
        Training(TRIAL).restore(state | {"vocabulary": "好"})
    longer = Training(replace(TRIAL, steps=60))
    longer.restore(state | {"story": state["story"] | {"step": 20}})
    assert longer.step == 20
    with pytest.raises(ValueError, match="another recipe"):  # there the rate has begun to fall
        longer.restore(state | {"story": state["story"] | {"step": 21}})


def test_a_loss_that_is_not_finite_stops_the_run():
    broken = Training(TRIAL)
    broken.task.model.head.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0 of 40"):
        broken.advance()


def test_the_command_names_the_recipes_it_knows(tmp_path):
    done = subprocess.run(
        [*ALONE, "nothing"], env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "reviews_bert" in done.stderr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_checkpoint_is_small_whole_and_of_the_present_recipe(path):
    model, vocabulary, story = load(path.stem)
    recipe = RECIPES[path.stem]
    assert path.with_suffix(".safetensors").stat().st_size <= 4_000_000
    assert Recipe(**story["recipe"], model=recipe.model) == recipe
    assert BERTConfig(**story["model"]) == replace(recipe.model, vocab_size=len(vocabulary)) == model.config
    assert story["curve"][-1]["step"] == recipe.steps
    assert asdict(model.config) == story["model"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_recipe_begins_as_it_was_recorded(path):
    """Another processor rounds differently: after a few steps that is still far below what another batch would do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recorded = json.loads(path.read_text(encoding="utf-8"))["first_losses"]
    again = Training(RECIPES[path.stem])
    losses = [again.advance() for _ in range(5)]
    torch.set_num_threads(threads)
    assert losses == pytest.approx(recorded[:5], rel=2e-4)
    assert abs(recorded[0] - recorded[1]) > 2e-4 * recorded[0]
