import numpy as np
import pytest
import torch
from torch.nn import functional

from maskdistill import segmenter
from maskdistill.segmenter import patches
from maskdistill.training import Plan, checkpoint, fit

GRIDS = [(4, 6), (5, 3), (2, 2)]
SIZES = [rows * cols for rows, cols in GRIDS]
CHANNELS, WIDTH, CLASSES = 5, 3, 4


def view(number):
    """Tokens whose values say where they are, a class token, soft labels; half are not labelled."""
    rng = np.random.default_rng([3, number])
    rows, cols = GRIDS[number]
    tokens = np.zeros((2, rows, cols, CHANNELS), np.float16)
    tokens[..., 0] = number
    tokens[..., 1] = np.arange(rows * cols).reshape(rows, cols)
    tokens[..., 2] = np.array([10, 20])[:, None, None]
    labels = rng.dirichlet(np.ones(CLASSES), (rows, cols)).astype(np.float32)
    labels.reshape(rows * cols, -1)[1::2] = 0
    return tokens, np.full(WIDTH, number, np.float16), labels


def drawn(**changed):
    return patches.drawn(map(view, range(3)), SIZES, **changed)


def test_all_labelled_patches_are_drawn_with_what_is_theirs_in_the_order_of_the_views():
    made = drawn()
    assert len(made) == 12 + 8 + 2
    assert made.tokens.dtype == made.labels.dtype == made.class_tokens.dtype == np.float16
    assert (np.diff(made.views) >= 0).all()
    np.testing.assert_array_equal(made.class_tokens, np.arange(3)[:, None].repeat(WIDTH, 1))
    for row, number, labels in zip(made.tokens, made.views, made.labels, strict=True):
        place = int(row[1])
        assert row.tolist() == [number, place, 10, 0, 0, number, place, 20, 0, 0]
        wanted = view(number)[2].reshape(-1, CLASSES)[place]
        assert wanted.any()
        np.testing.assert_allclose(labels, wanted, atol=1e-3)


@pytest.mark.parametrize("changed", [{"most": 11}, {"share": 0.25}, {"most": 11, "share": 0.25}])
def test_no_more_than_asked_for_are_drawn_of_each_view_its_share(changed):
    made = drawn(**changed)
    wanted = min(0.25 * 43 if "share" in changed else 43, changed.get("most", 43))
    assert wanted - 1 < len(made) <= wanted
    counts = np.bincount(made.views, minlength=3)
    for count, size in zip(counts, SIZES, strict=True):
        assert abs(count - size * wanted / 43) <= 1
    places = [(int(row[0]), int(row[1])) for row in made.tokens]
    assert len(set(places)) == len(places)


def test_the_draw_is_of_the_seed():
    one, again, other = (drawn(most=11, seed=seed).tokens[:, 1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.tolist() != other.tolist()


def test_a_view_of_which_nothing_is_known_has_no_patches():
    tokens, class_token, labels = view(0)
    made = patches.drawn([(tokens, class_token, 0 * labels), view(1)], SIZES[:2])
    assert set(made.views.tolist()) == {1}


@pytest.mark.parametrize("n_views, sizes", [(2, SIZES), (3, SIZES[:2]), (3, [24, 16, 4]), (0, [])])
def test_views_that_are_not_those_of_the_sizes_are_refused(n_views, sizes):
    with pytest.raises(ValueError, match="views: "):
        patches.drawn(map(view, range(n_views)), sizes)


def test_every_patch_comes_once_a_pass_in_another_order():
    batch_of = patches.patch_batches(10, batch=4, seed=1)
    seen = [number for step in range(10) for number in batch_of(step)]
    passes = [seen[first : first + 10] for first in range(0, 40, 10)]
    assert all(sorted(each) == list(range(10)) for each in passes)
    assert len(set(map(tuple, passes))) == 4
    # Whatever was asked before: a run that goes on begins in the middle.
    again = [patches.patch_batches(10, batch=4, seed=1)(step) for step in (9, 2, 7)]
    assert again == [seen[4 * step : 4 * step + 4] for step in (9, 2, 7)]
    assert patches.patch_batches(10, batch=4, seed=2)(0) != seen[:4]


def test_a_batch_larger_than_all_patches_repeats_them():
    assert sorted(patches.patch_batches(3, batch=6)(1)) == [0, 0, 1, 1, 2, 2]


def test_the_loss_is_the_cross_entropy_of_what_is_known(rng):
    logits = torch.from_numpy(rng.standard_normal((3, CLASSES)).astype(np.float32))
    labels = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 0], [0.2, 0, 0, 0.2]])
    of = -torch.log_softmax(logits, dim=1)
    wanted = (of[0, 1] + 0.2 * of[2, 0] + 0.2 * of[2, 3]) / 1.4
    assert float(patches.soft_cross_entropy(logits, labels)) == pytest.approx(float(wanted))
    assert float(patches.soft_cross_entropy(logits[:1], labels[:1])) == pytest.approx(
        float(functional.cross_entropy(logits[:1], torch.tensor([1])))
    )
    assert float(patches.soft_cross_entropy(logits[1:2], labels[1:2])) == 0


def head(**changed):
    given = {
        "channels": 2 * CHANNELS,
        "width": WIDTH,
        "n_classes": CLASSES,
        "hidden": 16,
        **changed,
    }
    return segmenter.build_on_patches(**given)


def test_the_losses_reach_every_weight_of_the_head_and_are_of_the_numbers_given():
    made, model = drawn(), head().train()
    loss = patches.patch_losses(made)(model, [0, 5, 9], 0)["cross_entropy"]
    loss.backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    other = patches.patch_losses(made)(head(dropout=0.0).train(), [1, 5, 9], 0)["cross_entropy"]
    assert float(loss.detach()) != float(other.detach())


def test_weights_are_of_the_seed_alone_and_no_hidden_layer_is_a_linear_head():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (head(seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["classify.weight"], other["classify.weight"])
    linear = head(hidden=0)
    x, c = torch.randn(2, 7, 2 * CHANNELS), torch.randn(1, WIDTH)
    halfway = linear((x[0] + x[1]) / 2, c)
    torch.testing.assert_close(halfway, (linear(x[0], c) + linear(x[1], c)) / 2)


def test_a_backbone_without_class_token_has_a_head_without():
    model = head(width=0)
    logits = segmenter.logits_of_view(model, view(0)[0], np.zeros(0, np.float16))
    assert logits.shape == (1, CLASSES, 4, 6)


def test_logits_lie_where_their_patches_are():
    model, (tokens, class_token, _) = head(), view(0)
    tokens[..., 3] = np.random.default_rng(1).standard_normal(tokens.shape[:3])
    found = segmenter.logits_of_view(model, tokens, class_token)
    for row, col in ((0, 0), (1, 4), (3, 5)):
        alone = torch.from_numpy(tokens[:, row, col].reshape(1, -1)).float()
        wanted = model(alone, torch.from_numpy(class_token)[None].float())
        torch.testing.assert_close(found[0, :, row, col], wanted[0])
    assert not found.requires_grad


def test_a_grid_that_reaches_over_the_picture_is_cut_to_it():
    logits = torch.zeros(1, 2, 3, 4)
    logits[0, 0, :, :2] = logits[0, 1, :, 2:] = 10  # the right half of the grid is class 1
    rgb = np.zeros((48, 52, 3), np.uint8)
    whole = segmenter.label_map(logits, rgb)
    assert whole[:, :26].sum() == 0
    assert whole[:, 26:].all()
    # 52 of the grid's 64 px are the picture's: the border stays at px 32.
    cut = segmenter.label_map(logits, rgb, covered=(3.0, 52 / 16))
    assert cut.shape == (48, 52)
    assert cut[:, :32].sum() == 0
    assert cut[:, 32:].all()
    drawn = segmenter.label_map(logits, rgb, covered=(3.0, 52 / 16), crf=lambda _, given: given)
    np.testing.assert_array_equal(drawn, cut)


@pytest.mark.parametrize("size", [(48, 52), (7, 9), (1, 1), (96, 104), (500, 541)])
def test_the_cut_holds_the_pixels_of_the_whole_grid(size):
    logits = torch.randn(1, 3, 30, 33, generator=torch.Generator().manual_seed(1))
    covered = (29.25, 32.5)
    found = segmenter.label_map(logits, np.zeros((*size, 3), np.uint8), covered=covered)
    assert found.shape == size
    # Each pixel's place in the grid, bilinearly between the centres of its cells.
    places = [
        ((np.arange(n) + 0.5) * cells / n - 0.5).clip(0, last)
        for n, cells, last in zip(size, covered, (29, 32), strict=True)
    ]
    (down, across), firsts = places, [np.floor(each).astype(int) for each in places]
    grid, wanted = functional.pad(logits, (0, 1, 0, 1), mode="replicate")[0].numpy(), 0.0
    for row, col in np.ndindex(2, 2):
        weight = np.abs(1 - row - (down - firsts[0]))[:, None] * np.abs(
            1 - col - (across - firsts[1])
        )
        wanted = wanted + weight * grid[:, firsts[0] + row][:, :, firsts[1] + col]
    assert (found == wanted.argmax(axis=0)).mean() > 0.999


def planted():
    """Views whose tokens tell the class of a patch but for the class token, which turns two of them."""
    views = []
    for number in range(6):
        rng = np.random.default_rng([9, number])
        label_map = rng.integers(0, 3, (8, 8))
        tokens = 0.3 * rng.standard_normal((2, 8, 8, CHANNELS))
        tokens[:, np.arange(8)[:, None], np.arange(8), label_map] += 2
        turned = np.array([0, 2, 1])[label_map] if number % 2 else label_map
        class_token = np.array([number % 2, 0, 0], np.float16)
        views.append((tokens.astype(np.float16), class_token, np.eye(CLASSES)[turned], turned))
    return views


def fitted(made, steps, *, state=None, on_step=lambda step, losses, state_of: None):
    model = head(hidden=32)
    fit(
        model,
        Plan(steps=steps, optimiser="adamw", learning_rate=1e-2, weight_decay=1e-3, decay="cosine"),
        batch_of=patches.patch_batches(len(made), batch=64, seed=1),
        loss_of=patches.patch_losses(made),
        state=state,
        on_step=on_step,
    )
    return model


def test_it_learns_classes_of_tokens_and_what_the_class_token_changes():
    views = planted()
    made = patches.drawn((each[:3] for each in views[:4]), [64] * 4)
    model = fitted(made, 60)
    for tokens, class_token, _, wanted in views[4:]:
        found = segmenter.logits_of_view(model, tokens, class_token).argmax(dim=1)[0]
        assert (found.numpy() == wanted).mean() > 0.95


def test_going_on_from_a_checkpoint_gives_the_same_bytes(tmp_path):
    made = patches.drawn((each[:3] for each in planted()), [64] * 6)

    def on_step(step, losses, state_of):
        if step == 5:
            checkpoint.write(
                tmp_path, step, state_of(), write_bytes=lambda path, data: path.write_bytes(data)
            )

    whole = checkpoint.weights_bytes(fitted(made, 12, on_step=on_step).state_dict())
    again = fitted(made, 12, state=checkpoint.read_latest(tmp_path))
    assert checkpoint.weights_bytes(again.state_dict()) == whole
