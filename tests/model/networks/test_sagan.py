"""The paper's networks: their sizes, their layers, what they read and what they promise."""

import copy
import inspect

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geogan.model.networks import (
    DISCRIMINATORS,
    GENERATORS,
    Critic,
    Generator,
    SaganDiscriminator,
    SaganGenerator,
    UNet,
)
from geogan.model.networks.sagan import DiscriminatorBlock, GeneratorBlock
from geogan.operators.errors import InputError


def inputs(height=18, width=21, *, frames=2, channels=1, batch=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, frames, channels, height, width)
    domain = (torch.rand(batch, 1, 1, height, width, generator=generator) < 0.9).to(dtype)
    mask = (torch.rand(shape, generator=generator) < 0.5).to(dtype) * domain
    values, guess = (torch.rand(shape, generator=generator).to(dtype) * 2 - 1 for _ in range(2))
    return values * mask, mask, guess, domain


def generator(*, frames=2, width=4, seed=0, **settings):
    """Return a generator without zero weights, whose attention contributes."""
    torch.manual_seed(seed)
    network = SaganGenerator(frames=frames, width=width, **settings)
    nn.init.constant_(network.attention.gamma, 0.5)
    nn.init.normal_(network.leave.weight, std=0.3)
    return network


def discriminator(*, frames=2, width=4, **settings):
    torch.manual_seed(0)
    network = SaganDiscriminator(frames=frames, width=width, **settings)
    nn.init.constant_(network.attention.gamma, 0.5)
    return network


def on_paper(network):
    """Return millions of parameters and GFLOP for a colour image of 64 x 64, on the meta device."""
    image = torch.empty(1, 1, 3, 64, 64, device="meta")
    arguments = (image,) * 2 if isinstance(network, SaganDiscriminator) else (image, image, image, image[:, :, :1])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*arguments)
    return sum(part.numel() for part in network.parameters()) / 1e6, counter.get_total_flops() / 1e9


def test_sizes_are_the_paper_s():
    with torch.device("meta"):
        g = SaganGenerator(frames=1, channels=3, show_mask=False, bounded=True).eval()
        d = SaganDiscriminator(frames=1, channels=3, show_mask=False).eval()
    parameters, work = on_paper(g)
    assert parameters == pytest.approx(5.1, rel=0.01)
    assert work == pytest.approx(42, rel=0.04)
    parameters, work = on_paper(d)
    assert parameters == pytest.approx(4.9, rel=0.01)
    assert work == pytest.approx(0.56, rel=0.02)


def test_layers_are_the_paper_s():
    network = SaganGenerator(frames=1, channels=3, width=4, show_mask=False)
    blocks = [part for part in network.modules() if isinstance(part, GeneratorBlock)]
    outputs = [block.second.out_channels for block in blocks]
    assert [block.first.in_channels for block in blocks] == [3, 4, 64, 32, 16, 8]
    assert outputs == [4, 64, 32, 16, 8, 4]
    judge = SaganDiscriminator(frames=1, channels=3, width=4, show_mask=False)
    blocks = [part for part in judge.modules() if isinstance(part, DiscriminatorBlock)]
    assert [block.second.out_channels for block in blocks] == [4, 8, 16, 32, 64]


def test_nothing_is_sampled_down_or_up_in_the_generator():
    network, seen = generator(), []
    for part in network.modules():
        assert not isinstance(part, nn.ConvTranspose2d | nn.AvgPool2d | nn.MaxPool2d | nn.Upsample)
        if isinstance(part, nn.Conv2d):
            assert part.stride == (1, 1)
            part.register_forward_hook(lambda part, given, found: seen.append(found.shape[-2:]))
    network(*inputs(19, 22))
    assert len(seen) > 20
    assert set(seen) == {(19, 22)}


@pytest.mark.parametrize("make", [generator, discriminator])
def test_every_layer_but_the_last_of_g_has_spectral_norm_one(make):
    network = make()
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    plain = [part for part in layers if not nn.utils.parametrize.is_parametrized(part, "weight")]
    assert plain == ([network.leave] if isinstance(network, SaganGenerator) else [])
    for part in layers:
        if part not in plain:
            assert torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2) == pytest.approx(1, abs=1e-3)
            original = part.parametrizations.weight.original.detach().flatten(1)
            gram = original @ original.mT if original.shape[0] <= original.shape[1] else original.mT @ original
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("skip", ["none", "measurement", "guess"])
@pytest.mark.parametrize("size", [(16, 16), (7, 5), (66, 9)])
def test_a_reconstruction_has_the_shape_of_the_window(skip, size):
    parts = inputs(*size, frames=3, channels=2, batch=2)
    network = generator(frames=3, channels=2, skip=skip).eval()
    assert network(*parts).shape == (2, 3, 2, *size)


def test_untrained_the_guess_comes_back():
    values, mask, guess, domain = inputs()
    for show_mask in (True, False):
        network = SaganGenerator(frames=2, width=4, skip="guess", show_mask=show_mask)
        assert torch.equal(network(values, mask, guess, domain), guess)


def test_a_correction_is_in_units_of_scale_and_ends_at_the_domain():
    values, mask, guess, domain = inputs()
    network = generator(skip="guess").eval()
    network.scale.fill_(0.1)
    found = network(guess * mask, mask, guess, domain)  # no innovation, whatever its unit
    network.scale.fill_(0.2)
    torch.testing.assert_close(network(guess * mask, mask, guess, domain) - guess, 2 * (found - guess))
    land = (domain == 0).expand_as(guess)
    assert torch.equal(found[land], guess[land])
    assert (found[~land] != guess[~land]).all()


def test_the_measurement_is_added():
    """With the same weights, the outputs with and without the skip differ by the measurement."""
    parts = inputs()
    alone, added = (generator(skip=skip).eval() for skip in ("none", "measurement"))
    torch.testing.assert_close(added(*parts) - alone(*parts), parts[0])


@pytest.mark.parametrize("skip", ["none", "measurement", "guess"])
def test_bounded_is_within_one(skip):
    network = generator(bounded=True, skip=skip)
    nn.init.normal_(network.leave.weight, std=5)
    values, mask, guess, domain = inputs()
    found = network.eval()(values * 3, mask, guess * 3, domain)
    assert found.abs().max() <= 1
    assert found.abs().max() > 0.9
    if skip != "guess":
        said = network.train()(values, mask, guess, domain) - (values if skip == "measurement" else 0)
        assert said.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("skip", ["none", "measurement", "guess"])
def test_a_mask_that_is_not_shown_is_not_read(skip):
    values, mask, guess, domain = inputs()
    unread = torch.full_like(mask, torch.nan)
    network = generator(skip=skip, show_mask=False).eval()
    place = domain if skip == "guess" else unread[:, :1]
    assert torch.equal(network(values, unread, guess, place), network(values, mask, guess, domain))
    judge = discriminator(show_mask=False).eval()
    assert torch.equal(judge(values, unread), judge(values, mask))


@pytest.mark.parametrize("skip", ["none", "measurement", "guess"])
def test_a_mask_that_is_shown_is_not_a_value(skip):
    _, mask, _, domain = inputs()
    none = torch.zeros_like(mask)
    network, judge = generator(skip=skip).eval(), discriminator().eval()
    assert not torch.allclose(network(none, mask, none, domain), network(none, none, none, domain))
    assert not torch.allclose(judge(none, mask), judge(none, none))


def test_without_a_skip_the_guess_is_not_read():
    values, mask, guess, domain = inputs()
    for skip in ("none", "measurement"):
        network = generator(skip=skip).eval()
        assert torch.equal(network(values, mask, guess * torch.nan, domain), network(values, mask, guess, domain))


@pytest.mark.parametrize("skip", ["none", "measurement", "guess"])
def test_gradient_reaches_every_parameter(skip):
    generator_, judge = generator(skip=skip), discriminator()
    values, mask, guess, domain = inputs()
    found = generator_(values, mask, guess, domain)
    (judge(found * mask, mask).square().sum() + found.square().mean()).backward()
    for network in (generator_, judge):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 1e-7, name


def test_windows_of_a_batch_do_not_know_each_other_in_evaluation():
    parts = inputs(dtype=torch.float64)
    network, judge = generator().double().eval(), discriminator().double().eval()
    together, scores = network(*parts), judge(*parts[:2])
    for one in range(3):
        alone = [part[one : one + 1] for part in parts]
        torch.testing.assert_close(network(*alone)[0], together[one])
        torch.testing.assert_close(judge(*alone[:2])[0], scores[one])


def test_a_score_is_its_own_measurement_s_while_training_too():
    """Without batch normalisation in D, a score does not depend on the other entries of the batch."""
    values, mask, *_ = inputs()
    judge = discriminator()
    with nn.utils.parametrize.cached():
        torch.testing.assert_close(judge(values, mask)[:1], judge(values[:1], mask[:1]))


def test_evaluation_uses_running_statistics():
    """If the running statistics are those of the last batch, training and evaluation agree on it."""
    parts = inputs()
    network = generator()
    fresh = copy.deepcopy(network).eval()
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    trained = network(*parts)
    assert not torch.allclose(fresh(*parts), trained, atol=0.1)
    cells = parts[1][:, :1].numel()
    for norm in norms:
        norm.running_var *= (cells - 1) / cells  # it is that of a sample, a batch's own that of a population
    torch.testing.assert_close(network.eval()(*parts), trained, atol=1e-4, rtol=1e-4)
    assert torch.equal(network(*parts), network(*parts))


def test_reach_is_where_the_gradient_ends():
    """On a strip longer than a window, for a cell at its edge and for inner cells."""
    network = generator(frames=1, widths=(3, 3, 3, 3), width=3).double().eval()
    parts = [part.requires_grad_() for part in inputs(3, 176, frames=1, batch=1, dtype=torch.float64)]
    found, farthest = network(*parts)[0, 0, 0, 1], 0
    for centre in (0, 1, 34, 80, 175):
        reached = sum(part.abs().flatten(0, -2).sum(0) for part in torch.autograd.grad(
            found[centre], [parts[0], parts[1], parts[3]], retain_graph=True
        ))  # fmt: skip
        where = reached.nonzero().flatten()
        farthest = max(farthest, centre - int(where.min()), int(where.max()) - centre)
    assert farthest == network.reach


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (17, 45), (64, 16)])
def test_one_score_a_film_whatever_its_size(size):
    values = torch.randn(5, 3, 2, *size)
    assert discriminator(frames=3, channels=2)(values, torch.ones_like(values)).shape == (5,)


def test_the_discriminator_attends_at_a_quarter_of_the_resolution():
    judge, seen = discriminator(), []
    judge.attention.register_forward_hook(lambda part, given, found: seen.append(tuple(found.shape)))
    judge(*inputs(64, 32)[:2])
    assert seen == [(3, 8, 16, 8)]


def test_bad_input_is_said_in_a_sentence():
    with pytest.raises(InputError, match="needs 16 x 16 cells or more, got 15 x 40"):
        discriminator()(*inputs(15, 40)[:2])
    with pytest.raises(InputError, match="skip must be one of none, measurement, guess, got 'input'"):
        SaganGenerator(frames=1, skip="input")


NETWORKS = [
    (lambda: generator(skip="guess", bounded=True), 4),
    (lambda: generator(show_mask=False, widths=[6, 5]), 4),
    (discriminator, 2),
]


@pytest.mark.parametrize("make, count", NETWORKS)
def test_a_network_is_its_settings_and_its_state(make, count):
    """A copy, and a network built from the attributes and a stored state, give the same results."""
    network, parts = make(), inputs()[:count]
    network(*parts)  # statistics and power iterations are a state too
    copied = copy.deepcopy(network)
    settings = {name: getattr(network, name) for name in inspect.signature(type(network)).parameters}
    rebuilt = type(network)(**settings)
    rebuilt.load_state_dict(load(save(network.state_dict())))
    wanted = network.eval()(*parts)
    assert torch.equal(copied.eval()(*parts), wanted)
    assert torch.equal(rebuilt.eval()(*parts), wanted)
    ours = {value.data_ptr() for value in network.state_dict().values()}
    assert ours.isdisjoint(value.data_ptr() for value in copied.state_dict().values())


@pytest.mark.parametrize("make, count", NETWORKS)
def test_half_precision(make, count):
    network, parts = make(), inputs()[:count]
    for _ in range(3):
        network(*parts)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(*parts)
    found.square().mean().backward()
    assert found.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    network.eval()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(*parts)
    whole = network(*parts)
    assert (half - whole).norm() < 0.05 * whole.norm() + 0.05


def test_an_image_is_learned():
    """In a few dozen steps the network learns an image of which half is hidden."""
    torch.manual_seed(3)
    row, column = torch.linspace(-2, 2, 16)[:, None], torch.linspace(-3, 3, 16)
    image = (torch.sin(row * column) * torch.cos(column))[None, None, None]
    mask = (torch.rand(1, 1, 1, 16, 16) < 0.5).float()
    network = SaganGenerator(frames=1, width=4, bounded=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        loss = (network(image * mask, mask, 0 * image, torch.ones(1, 1, 1, 16, 16)) - image).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05 * image.var()


def test_networks_are_chosen_by_name():
    assert GENERATORS["unet"] is UNet
    parts = inputs()
    # Dense networks are made for frames of one size.
    size = {name: {"size": parts[0].shape[-2:]} if "dense" in name else {} for name in GENERATORS | DISCRIMINATORS}
    for name, make in GENERATORS.items():
        network: Generator = make(frames=2, channels=1, width=4, **size[name])
        assert network(*parts).shape == parts[0].shape
        assert network.reach > 0 and network.scale == 1
        assert (network.frames, network.channels, network.width) == (2, 1, 4)
    for name, build in DISCRIMINATORS.items():
        judge: Critic = build(frames=2, channels=1, width=4, **size[name])
        assert judge(*parts[:2]).shape == (3,)
