import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from maskdistill.errors import TrainingError
from maskdistill.training import Plan, checkpoint, fit, loop
from tests.test_memory import ERRORS


def network(*, dropout=0.3, norm=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        middle = nn.BatchNorm1d(7) if norm else nn.Tanh()
        return nn.Sequential(nn.Linear(5, 7), middle, nn.Dropout(dropout), nn.Linear(7, 3))


def batch_of(step, n=6):
    rng = np.random.default_rng([7, step])
    return [torch.from_numpy(rng.standard_normal(8).astype(np.float32)) for _ in range(n)]


def loss_of(model, batch, step):
    both = torch.stack(batch)
    found = model(both[:, :5])
    return {"squares": ((found - both[:, 5:]) ** 2).mean(), "size": 0.1 * found.abs().mean()}


def trained(plan, model=None, **kwargs):
    model = network() if model is None else model
    fit(model, plan, **{"batch_of": batch_of, "loss_of": loss_of, **kwargs})
    return model


def same(a, b):
    assert a.state_dict().keys() == b.state_dict().keys()
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("average", [0.0, 0.8])
def test_steps_in_one_go_equal_half_of_them_a_state_and_the_other_half(
    tmp_path, optimiser, average
):
    plan = Plan(
        steps=10,
        optimiser=optimiser,
        learning_rate=0.05,
        warm_up=3,
        decay="cosine",
        average=average,
        clip_norm=1.0,
    )
    seen = []

    def on_step(step, losses, state_of):
        seen.append((step, losses))
        if step == 5:
            checkpoint.write(
                tmp_path,
                step,
                state_of(),
                write_bytes=lambda path, content: path.write_bytes(content),
            )

    whole = trained(plan, on_step=on_step)
    whole_losses, seen = seen, []
    torch.rand(3)  # where the global generator stands must not matter
    resumed = trained(plan, state=checkpoint.read_latest(tmp_path), on_step=on_step)
    assert [step for step, _ in seen] == [6, 7, 8, 9, 10]
    assert seen == whole_losses[5:]
    assert same(resumed, whole)
    assert checkpoint.weights_bytes(resumed.state_dict()) == checkpoint.weights_bytes(
        whole.state_dict()
    )


def test_a_training_that_is_complete_already_changes_nothing():
    plan, states = Plan(steps=4, average=0.5), []
    whole = trained(
        plan, on_step=lambda step, losses, state_of: states.append({"step": step, **state_of()})
    )
    assert same(trained(plan, state=states[-1]), whole)


def test_dropout_is_drawn_from_the_seed_and_the_step():
    first, again, other = (
        trained(Plan(steps=3, learning_rate=0.1, seed=seed)) for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert not same(first, other)
    assert len({loop.step_seed(seed, step) for seed in range(50) for step in range(50)}) == 2500


def test_the_global_generator_is_left_where_it_stood():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    trained(Plan(steps=2))
    assert torch.equal(torch.rand(2), wanted)


def test_the_generators_of_all_gpus_are_put_back_because_all_are_seeded(monkeypatch):
    restored = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: f"state of {device}")
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: restored.append((device, state))
    )
    with loop.seeded(1):
        assert not restored
    assert restored == [(0, "state of 0"), (1, "state of 1")]


def test_the_averaged_weights_are_the_result():
    model, plan = network(), Plan(steps=25, learning_rate=0.1, average=0.6)
    wanted = {name: value.double().clone() for name, value in model.state_dict().items()}
    last = {}

    def on_step(step, losses, state_of):
        decay = min(
            0.6, step / (step + 9)
        )  # step 1 is the first: its weights count for nine tenths
        for name, value in state_of()["model"].items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
        last.update(copy.deepcopy(state_of()["model"]))

    trained(plan, model, on_step=on_step)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), wanted[name], rtol=1e-4, atol=1e-5)
            assert not torch.equal(value, last[name])
        else:
            assert value == 25  # batches are counted, not averaged


def test_a_loss_that_is_not_finite_stops_before_the_step_is_taken():
    steps, model = [], network()

    def broken(model, batch, step):
        losses = loss_of(model, batch, step)
        return {**losses, "size": losses["size"] * (float("nan") if step == 2 else 1.0)}

    with pytest.raises(
        TrainingError, match=r"step 2: the loss is not finite .*nan.*learning rate \(0\.25\)"
    ):
        trained(
            Plan(steps=5, learning_rate=0.25),
            model,
            loss_of=broken,
            on_step=lambda step, losses, state_of: steps.append(step),
        )
    assert steps == [1, 2]
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("n", [6, 5])  # 5: the parts are of unlike size
def test_a_batch_that_does_not_fit_is_halved_and_gives_about_the_same_gradient(n, error):
    plan, called, sizes = Plan(steps=2, learning_rate=0.5), [], []

    def narrow(model, batch, step):
        if len(batch) > 2:
            raise error
        sizes.append(len(batch))
        return loss_of(model, batch, step)

    logged = {"whole": [], "parts": []}
    models = {}
    for name, function in (("whole", loss_of), ("parts", narrow)):
        models[name] = trained(
            plan,
            network(dropout=0.0, norm=False),
            batch_of=lambda step: batch_of(step, n),
            loss_of=function,
            on_step=lambda step, losses, state_of, name=name: logged[name].append(losses),
            on_halved=lambda step, parts: called.append((step, parts)),
        )
    assert called == [(0, 2), (0, 4)]  # and the next step starts from there
    assert sizes == ([2, 2, 2] if n == 6 else [2, 2, 1]) * 2
    for wanted, found in zip(
        models["whole"].parameters(), models["parts"].parameters(), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    for wanted, found in zip(logged["whole"], logged["parts"], strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
        assert found["loss"] == pytest.approx(found["squares"] + found["size"])


def test_a_gradient_that_was_begun_before_memory_ran_out_is_not_counted_twice():
    plan, failed = Plan(steps=1, learning_rate=0.5), []

    def late(model, batch, step):
        losses = loss_of(model, batch, step)
        if len(failed) == 0 and len(batch) == 6:
            failed.append("whole")
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        if len(failed) == 1 and len(batch) == 3:  # the first half goes through, the second does not
            failed.append("half")
        elif len(failed) == 2 and len(batch) == 3:
            failed.append("other half")
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return losses

    wanted, found = (
        trained(plan, network(dropout=0.0, norm=False), loss_of=function).parameters()
        for function in (loss_of, late)
    )
    assert failed == ["whole", "half", "other half"]
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_a_single_sample_that_does_not_fit_is_an_error():
    def never(model, batch, step):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    called = []
    with pytest.raises(torch.cuda.OutOfMemoryError):
        trained(Plan(steps=1), loss_of=never, on_halved=lambda step, parts: called.append(parts))
    assert called == [2, 4, 8]


def test_another_error_of_a_step_is_not_taken_for_a_full_memory():
    def wrong(model, batch, step):
        raise RuntimeError("shapes do not fit")

    called = []
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trained(Plan(steps=1), loss_of=wrong, on_halved=lambda step, parts: called.append(parts))
    assert called == []


def test_batches_made_ahead_in_a_thread_change_nothing():
    models, asked = [], {0: [], 1: []}
    for workers, steps in asked.items():

        def noted(step, steps=steps):
            steps.append((step, threading.get_ident() == threading.main_thread().ident))
            return batch_of(step)

        models.append(trained(Plan(steps=7, learning_rate=0.1), batch_of=noted, workers=workers))
    assert same(*models)
    assert asked == {
        0: [(step, True) for step in range(7)],
        1: [(step, False) for step in range(7)],
    }


def test_an_error_while_a_batch_is_made_ahead_reaches_the_caller():
    def broken(step):
        if step == 3:
            raise ValueError("picture 17 is gone")
        return batch_of(step)

    seen = []
    with pytest.raises(ValueError, match="picture 17 is gone"):
        trained(
            Plan(steps=6), batch_of=broken, workers=1, on_step=lambda step, *_: seen.append(step)
        )
    assert seen == [1, 2, 3]


def moved(plan, model=None):
    """How far the first step goes."""
    model = network(dropout=0.0, norm=False) if model is None else model
    before = [parameter.detach().clone() for parameter in model.parameters()]
    fit(model, plan, batch_of=batch_of, loss_of=loss_of)
    pairs = zip(model.parameters(), before, strict=True)
    return torch.cat([(now - old).detach().flatten() for now, old in pairs])


def test_a_gradient_is_clipped_to_its_norm_and_a_shorter_one_left_alone():
    free = moved(Plan(steps=1, learning_rate=0.5, weight_decay=0.0))
    short = moved(Plan(steps=1, learning_rate=0.5, weight_decay=0.0, clip_norm=0.01))
    long = moved(Plan(steps=1, learning_rate=0.5, weight_decay=0.0, clip_norm=100.0))
    assert float(short.norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)
    torch.testing.assert_close(short / short.norm(), free / free.norm(), rtol=1e-3, atol=1e-5)
    assert torch.equal(long, free)


def test_the_rate_of_a_step_is_that_of_the_schedule():
    free = moved(Plan(steps=1, learning_rate=0.5, weight_decay=0.0))
    warming = moved(Plan(steps=1, learning_rate=0.5, weight_decay=0.0, warm_up=4))
    torch.testing.assert_close(warming, free / 4, rtol=1e-4, atol=1e-6)


def test_what_is_frozen_stays_and_the_model_ends_in_eval_mode():
    model = network()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    trained(Plan(steps=3, learning_rate=0.5, average=0.9), model)
    assert torch.equal(model[0].weight, before["0.weight"])
    assert not torch.equal(model[3].weight, before["3.weight"])
    assert not any(part.training for part in model.modules())


def test_another_optimiser_is_refused():
    with pytest.raises(ValueError, match="wanted adamw or sgd, got 'adam'"):
        trained(Plan(steps=1, optimiser="adam"))
