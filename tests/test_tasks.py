"""The tasks: their data, the one trainer, the plan, the command, and the loader of its file."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from attn_lib import costs
from attn_lib.data import _measured, load_task_results
from benchmarks import training
from benchmarks.cells import ROOT, apart, code_cells, needed
from benchmarks.cells import run as run_cells
from benchmarks.tasks import __main__ as command
from benchmarks.tasks import data, models, plan
from benchmarks.tasks.run import batches_of, run
from benchmarks.training import UNASKED

DRAWS = {
    "stacked recall": partial(data.stacked_recall, 5, 3),
    "selective copying": partial(data.selective_copying, 7, 3),
    "memorisation": partial(data.memorisation, 11, 3),
    "letters": lambda draw: data.windows(data.letters(), 13, 3, draw),
}


@pytest.fixture(autouse=True)
def as_it_was():
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
    torch.set_rng_state(state)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# Data


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_batch_is_new_and_a_seed_repeats_it(draw):
    generator = seeded(0)
    first, second = draw(generator), draw(generator)
    again = draw(seeded(0))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])


def test_a_key_that_asks_is_answered_by_the_value_that_stood_beside_it():
    keys, values = data.embeddings()
    x, answers = data.stacked_recall(5, 3, seeded(1))
    assert x.shape == (3, 10, 64)
    for item, wanted in zip(x, answers, strict=True):
        told, asked = item[:5], item[5:]
        assert (asked[:, 32:] == 0).all()  # a query carries no value
        assert (wanted[:5] == UNASKED).all()
        said = {
            int((keys == key).all(1).nonzero()): int((values == value).all(1).nonzero())
            for key, value in zip(*told.split(32, dim=1), strict=True)
        }
        assert len(said) == 5  # all keys are different
        queries = [int((keys == q).all(1).nonzero()) for q in asked[:, :32]]
        assert sorted(queries) == sorted(said)
        assert [said[q] for q in queries] == wanted[5:].tolist()


def test_the_embeddings_are_many_fixed_and_of_length_one():
    keys, values = data.embeddings()
    assert len(keys) >= 1000
    assert len(values) >= 1000
    for x in (keys, values):
        torch.testing.assert_close(x.norm(dim=-1), torch.ones(len(x)))
        assert len(x.unique(dim=0)) == len(x)


@pytest.mark.parametrize("distance", [0, 1, 24])
def test_what_is_copied_comes_in_order_from_the_stated_distance(distance):
    x, answers = data.selective_copying(distance, 4, seeded(2))
    copied = data.COPIED
    assert x.shape == (4, 1 + 3 * copied + distance)
    told, gap, asked = x[:, 1:].split([2 * copied, distance, copied], dim=1)
    assert (x[:, 0] == data.BEGIN).all()
    assert (gap == data.BLANK).all()
    assert (asked == data.ASK).all()
    assert (answers[:, :-copied] == UNASKED).all()
    for row, wanted in zip(told, answers[:, -copied:], strict=True):
        assert row[row != data.BLANK].tolist() == wanted.tolist()
    assert len({tuple((row != data.BLANK).tolist()) for row in told}) > 1


def test_what_is_memorised_needs_no_context():
    x, answers = data.memorisation(40, 50, seeded(3))
    pairs = {*zip(x.flatten().tolist(), answers.flatten().tolist(), strict=True)}
    assert len(pairs) == len({word for word, _ in pairs}) == len({answer for _, answer in pairs})


# The trainer


def recall(pairs=2, steps=30, **options):
    torch.manual_seed(0)
    model = models.Transformer(
        "softmax",
        length=2 * pairs,
        heads=2,
        depth=1,
        causal=False,
        options={},
        values=data.embeddings()[1],
    )
    trained = training.train(
        model,
        lambda _, draw: data.stacked_recall(pairs, 8, draw),
        steps=steps,
        schedule=training.rise_and_stay(0.01, 5),
        draw=seeded(0),
        **options,
    )
    return model, trained


def test_a_training_repeats_to_the_bit():
    (model, trained), (same, again) = recall(), recall()
    assert torch.equal(trained.losses, again.losses)
    assert torch.equal(trained.accuracies, again.accuracies)
    for ours, theirs in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert trained.losses[-5:].mean() < trained.losses[:5].mean()


def test_it_stops_where_it_is_good_enough_and_nowhere_else():
    _, never = recall(steps=7)
    assert never.steps == 7
    _, at_once = recall(steps=20, stop=0.0, every=4)
    assert at_once.steps == 4
    assert torch.equal(at_once.losses, recall(steps=4)[1].losses)
    _, late = recall(steps=20, stop=1.1, every=4)
    assert late.steps == 20
    _, from_then = recall(steps=20, stop=0.0, stop_from=5, every=4)
    assert from_then.steps == 12


def test_only_what_is_asked_counts():
    scores = torch.tensor([[[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0]]])
    answers = torch.tensor([[UNASKED, 0, 0, UNASKED]])
    assert training.right(scores, answers) == 0.5


def test_the_last_steps_are_averaged():
    losses = torch.tensor([9.0, 3.0, 5.0])
    trained = training.Trained(losses, losses / 10)
    assert trained.last(2) == pytest.approx((4.0, 0.4))
    assert trained.last(50)[0] == pytest.approx(17 / 3)


def test_schedules():
    rise = training.rise_and_stay(0.2, 4)
    assert [rise(k) for k in (0, 3, 100)] == pytest.approx([0.05, 0.2, 0.2])
    assert training.rise_and_stay(0.2, 0)(0) == 0.2
    fall = training.rise_and_fall(0.2, 600)
    assert [fall(k) for k in (0, 49, 300, 450)] == pytest.approx([0.004, 0.2, 0.2, 0.1])


def test_the_letters_are_trained_as_on_the_page_of_cosformer():
    cells = apart(code_cells(ROOT / "book" / "10-cosformer.md"))
    page = run_cells(needed(cells, "language_models"))
    letters = plan.FULL.tasks[-1]
    short = replace(letters.sizes[0], steps=3)
    job = plan.Job(letters, short, "softmax", 16, 0.01, 1)
    torch.use_deterministic_algorithms(False)
    expected, _ = page["train"](page["attends"]["softmax"], 1, 3)
    assert run(job)["test_loss"] == pytest.approx(expected, abs=1e-4)


# Models

JOBS = [
    plan.Job(task, task.sizes[-1], name, value, 1e-3, 0)
    for task in plan.FULL.tasks
    for name, knob in plan.KNOBS.items()
    for value in knob.values
    if plan.CAUSAL[name] or not task.causal
]


def model_of(job, **options):
    torch.manual_seed(0)
    how = {
        "length": job.size.length,
        "heads": job.heads,
        "depth": job.task.depth,
        "causal": job.task.causal,
        "options": job.options,
        "symbols": 5,
    }
    return models.Transformer(job.mechanism, **{**how, **options})


@pytest.mark.parametrize("task", plan.FULL.tasks, ids=lambda x: f"{x.name} {x.causal}")
def test_all_models_have_as_many_parameters_within_five_in_a_hundred(task):
    found = {}
    for job in JOBS:
        if job.task == task:
            model = model_of(job)
            found[job.mechanism, job.value] = models.parameters(model)
            everything = sum(x.numel() for x in model.parameters())
            assert models.extras(model) == everything - models.parameters(model)
            if job.mechanism not in ("linformer", "luna"):
                assert models.extras(model) == 0
    assert max(found.values()) <= 1.05 * min(found.values())


def test_the_extras_are_linformers_maps_and_lunas_slots():
    recall = plan.FULL.tasks[1]
    size = recall.sizes[1]
    assert models.extras(model_of(plan.Job(recall, size, "linformer", 4, 1e-3, 0))) == 2 * 4 * 32
    assert models.extras(model_of(plan.Job(recall, size, "luna", 4, 1e-3, 0))) == 4 * 64


@pytest.mark.parametrize("name", plan.KNOBS)
@pytest.mark.parametrize("causal", [False, True])
def test_every_parameter_is_used(name, causal):
    if causal and not plan.CAUSAL[name]:
        pytest.skip("no causal form")
    task = replace(plan.FULL.tasks[1], causal=causal)
    job = plan.Job(task, plan.Size(4, 8, 2, 1), name, plan.KNOBS[name].values[0], 1e-3, 0)
    model = model_of(job)
    model(torch.randint(5, (3, 8))).square().sum().backward()
    unused = [key for key, x in model.named_parameters() if x.grad is None or not x.grad.any()]
    assert all(key.endswith(("qkv.bias", "pack_query.bias")) for key in unused), unused


@pytest.mark.parametrize("name", [name for name in plan.KNOBS if plan.CAUSAL[name]])
def test_a_causal_model_does_not_look_ahead(name):
    task = replace(plan.FULL.tasks[2], depth=2)
    job = plan.Job(task, plan.Size(4, 8, 2, 1), name, plan.KNOBS[name].values[2], 1e-3, 0)
    model = model_of(job)
    x = torch.randint(5, (3, 8), generator=seeded(4))
    other = x.clone()
    other[:, 5:] = (x[:, 5:] + 1) % 5
    with torch.no_grad():
        torch.manual_seed(1)
        before = model(x)[:, :5]
        torch.manual_seed(1)
        torch.testing.assert_close(model(other)[:, :5], before)


# The plan


def rows_of(jobs, **measured):
    made = {"train_loss": 1.0, "train_accuracy": 0.5, "steps": 9, **measured}
    return [{**job.described(), **made} for job in jobs]


def test_the_plan_goes_from_rates_to_sizes_to_the_last():
    grid = replace(plan.QUICK, mechanisms=("softmax", "longformer"))
    rows, stages = [], []
    while True:
        stage, jobs = grid.missing(rows)
        if not jobs:
            break
        stages.append(stage)
        assert len({job.key for job in jobs}) == len(jobs)
        rows += rows_of(jobs)
    assert stages == ["rates", "sizes", "last"]
    keys = [plan.key_of(row) for row in rows]
    assert len(keys) == len(set(keys))
    for gone in (0, len(rows) // 2, -1):
        left = [row for row in rows if row is not rows[gone]]
        _, jobs = grid.missing(left)
        assert [job.key for job in jobs] == [plan.key_of(rows[gone])]


def test_the_best_rate_has_the_lowest_loss_or_stopped_first():
    recall = plan.QUICK.tasks[1]
    grid = replace(plan.QUICK, tasks=(recall,), mechanisms=("softmax",))
    slow, fast = grid.missing([])[1]

    def chosen(*measured):
        rows = [rows_of([job], **one)[0] for job, one in zip((slow, fast), measured, strict=True)]
        return {job.rate for job in grid.missing(rows)[1]}

    done = {"train_accuracy": 0.995}
    assert chosen({"train_loss": 0.4}, {"train_loss": 0.5}) == {slow.rate}
    assert chosen({"train_loss": 0.4}, {"train_loss": 0.3}) == {fast.rate}
    assert chosen({"train_loss": None}, {"train_loss": 7.0}) == {fast.rate}
    assert chosen({"train_loss": 0.1}, {"train_loss": 0.2, **done}) == {fast.rate}
    assert chosen({"steps": 100, **done}, {"steps": 150, **done}) == {slow.rate}


def test_the_last_size_is_for_the_best_value_and_of_equals_the_least():
    recall = plan.QUICK.tasks[1]
    grid = replace(plan.QUICK, tasks=(recall,), mechanisms=("longformer",), seeds=1)
    for accuracies, best in (((0.2, 0.9, 0.4), 16), ((0.2, 0.991, 0.993), 16), ((1, 1, 1), 4)):
        rows = rows_of(grid.missing([])[1])
        rows += rows_of(grid.missing(rows)[1])
        for row in rows:
            row["train_accuracy"] = accuracies[plan.KNOBS["longformer"].values.index(row["value"])]
        stage, jobs = grid.missing(rows)
        assert (stage, [job.value for job in jobs]) == ("last", [best])


def test_easier_sizes_take_turns_in_the_first_third():
    size = plan.Size(16, 32, 8, 30, easier=(2, 4))
    assert [size.at(step) for step in (0, 1, 2, 3, 9)] == [
        (2, 64),
        (4, 32),
        (16, 8),
        (2, 64),
        (2, 64),
    ]
    assert {size.at(step) for step in range(10, 30)} == {(16, 8)}
    assert size.easier_steps == 10
    assert {plan.Size(4, 8, 2, 30).at(step) for step in range(30)} == {(4, 2)}


def test_the_whole_grid_tries_what_it_promises():
    tasks = {(task.name, task.causal): task for task in plan.FULL.tasks}
    for causal in (False, True):
        assert [size.value for size in tasks["recall", causal].sizes] == [4, 16, 64]
        assert tasks["recall", causal].last.value == 256
    assert len(plan.FULL.rates) == 4
    assert plan.FULL.seeds == 3
    assert all(len(knob.values) == 3 for knob in plan.KNOBS.values())
    missing = plan.absent(plan.FULL)
    assert {one["mechanism"] for one in missing} == {"linformer", "efficient"}
    assert all("no causal form" in one["reason"] for one in missing)
    for task, _ in plan.FULL._subjects():
        for size in (*task.sizes, *filter(None, [task.last])):
            draws, _, _ = batches_of(plan.Job(task, size, "softmax", 32, 1e-3, 0))
            assert draws(size.value, 2, seeded(0))[1].shape == (2, size.length)


# The command, and the loader


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    path = folder / "tasks.json"
    arguments = ["--quick", "--only", "softmax,reformer", "--output", str(path)]
    assert command.main(arguments) == 0
    return path, arguments


def test_deleted_rows_come_back(quick, tmp_path, capsys):
    path, arguments = quick
    document = json.loads(path.read_text(encoding="utf-8"))
    holed, rows = tmp_path / "holed.json", document["rows"]
    gone = [rows[0], rows[len(rows) // 2], rows[-1]]
    left = [row for row in rows if row not in gone]
    holed.write_text(json.dumps({**document, "rows": left}), encoding="utf-8")
    (tmp_path / "holed.json.part").write_text('{"rows": [', encoding="utf-8")  # interrupted
    assert command.main([*arguments[:-1], str(holed), "--resume"]) == 0
    again = json.loads(holed.read_text(encoding="utf-8"))

    def timeless(rows):
        return [{name: row[name] for name in row if name != "seconds"} for row in rows]

    assert timeless(again["rows"]) == timeless(rows)
    assert "written to" in capsys.readouterr().out
    assert again["command"] == "python -m benchmarks.tasks --quick"
    assert command.main([*arguments[:-1], str(holed), "--resume", "--count"]) == 0
    assert "nothing: 0 models are left" in capsys.readouterr().out


def test_a_row_holds_what_was_tried_and_measured(quick, monkeypatch):
    path, _ = quick
    monkeypatch.setattr(_measured, "_folder", lambda: path.parent)
    results = load_task_results()
    assert results.tasks == ("memorisation", "recall", "copying", "letters")
    assert results.mechanisms == ("softmax", "reformer")
    assert results.sizes("recall", causal=False) == (2, 3)
    assert results.sizes("recall", causal=True) == ()
    assert results.values("reformer") == (4, 16, 64)
    assert results.settings["seeds"] == 2
    assert results.versions["torch"] == torch.__version__
    seeds = results.select("recall", "reformer", causal=False, size=2, value=16)
    assert [row.seed for row in seeds] == [0, 1]
    assert {row.rate for row in seeds} == {results.rate("recall", "reformer", causal=False)}
    for row in results.rows:
        assert row.steps == 2
        assert 0 <= row.test_accuracy <= 1
        assert row.kept_by_all_heads == row.heads * row.kept
        if row.mechanism == "reformer":
            assert row.options == {"bucket_size": row.value, "num_hashes": 2}
    with pytest.raises(ValueError, match=r"^\(size, value\) must .*got \(2, 5\)"):
        results.select("recall", "reformer", causal=False, size=2, value=5)
    with pytest.raises(ValueError, match=r"^\(task, mechanism, causal\) must .*got \('recall', 'l"):
        results.rate("recall", "luna", causal=False)


def test_another_schema_or_no_file_is_refused(quick, tmp_path, monkeypatch):
    path, _ = quick
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^tasks must be trained"):
        load_task_results()
    document = json.loads(path.read_text(encoding="utf-8"))
    changed = json.dumps({**document, "schema_version": 2})
    (tmp_path / "tasks.json").write_text(changed, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^schema_version must be 1, got 2 in tasks\.json"):
        load_task_results()


def test_unknown_names_are_refused():
    with pytest.raises(SystemExit, match=r"--only must name some of softmax, .*got 'paper'"):
        command.main(["--only", "paper"])
    with pytest.raises(SystemExit, match=r"--tasks must name some of memorisation, .*got 'chess'"):
        command.main(["--tasks", "chess"])


# What is recorded


def test_the_recorded_numbers_are_those_of_the_costs():
    for row in load_task_results().rows:
        width = 64 // row.heads
        options = {name: x for name, x in row.options.items() if name != "max_len"}
        sizes = (row.mechanism, row.length, width, width)
        assert row.kept == costs.kept_numbers(*sizes, causal=row.causal, **options)
        assert row.read == costs.read_numbers(*sizes, causal=row.causal, **options)


def test_everybody_passes_the_control():
    """If one fails, the training is at fault."""
    results = load_task_results()
    for mechanism in plan.KNOBS:
        rows = of_the_chosen_rate(results, "memorisation", mechanism, causal=False)
        assert len(rows) == plan.FULL.seeds
        assert all(row.test_accuracy >= 0.99 for row in rows)


@pytest.mark.parametrize(
    ("task", "causal"), [("recall", False), ("recall", True), ("copying", True)]
)
def test_softmax_can_do_every_task(task, causal):
    rows = of_the_chosen_rate(load_task_results(), task, "softmax", causal=causal)
    settings = {(row.size, row.value) for row in rows}
    assert len(settings) >= 3
    for setting in settings:
        seeds = [row.test_accuracy for row in rows if (row.size, row.value) == setting]
        assert len(seeds) == plan.FULL.seeds
        assert sum(seeds) / len(seeds) >= 0.99
        assert min(seeds) >= 0.98


def of_the_chosen_rate(results, task, mechanism, *, causal):
    wanted = (task, mechanism, causal)
    rows = [row for row in results.rows if (row.task, row.mechanism, row.causal) == wanted]
    rates = {row.rate for row in rows if row.seed}
    assert len(rates) <= 1
    return [row for row in rows if row.rate in rates]


def test_the_recorded_grid_is_whole():
    """If it fails, run ``python -m benchmarks.tasks --resume``."""
    document = json.loads((_measured._folder() / "tasks.json").read_text(encoding="utf-8"))
    assert plan.FULL.missing(document["rows"]) == ("", [])
    assert document["settings"] == json.loads(json.dumps(plan.FULL.described()))


def test_no_two_rows_are_of_one_job():
    rows = load_task_results().rows
    keys = [tuple(getattr(row, name) for name in plan.ROW_KEY) for row in rows]
    assert len(keys) == len(set(keys))
