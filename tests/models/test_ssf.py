"""What SSF and MR-MD-SSF promise."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from pvc.errors import CheckpointError, ConfigError
from pvc.models.checkpoint import fingerprint, load_model, load_state, read_model_info, save_model
from pvc.models.patch import relative
from pvc.models.warm_start import from_compressai, warm_start
from tests.models.conftest import make, wake

KINDS = ("conv", "patch", "fine")
BETAS = (1e-4, 7e-4, 1.28e-2)


def full(beta: float, n: int = 1) -> torch.Tensor:
    return torch.full((n,), beta)


@pytest.mark.parametrize("kind", KINDS)
def test_mr_md_ssf_starts_as_the_ssf_it_continues_bit_for_bit(kind, clip, tmp_path):
    save_model(wake(make(kind, beta=4e-4)), tmp_path / "ssf.safetensors")
    ssf = load_model(tmp_path / "ssf.safetensors")
    model = make(kind, seed=5, multirate=True, roi=True, beta=4e-4)
    warm_start(model, tmp_path / "ssf.safetensors")
    # As load_model does: convolutions differ in the last bit between layouts.
    model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = ssf(clip)
        for beta in BETAS:
            got = model(clip, full(beta), torch.ones(1, 3, 1, 72, 104))
            assert torch.equal(got.x_hat, expected.x_hat)
            assert all(torch.equal(got.parts[k], bits) for k, bits in expected.parts.items())
            assert got.parts.get("map", torch.zeros(1)).sum() < 8  # what it takes to say that there is no map
        model.intra.encoder.mask.weight.normal_(std=0.02)
        assert not torch.equal(model(clip, full(4e-4), torch.ones(1, 3, 1, 72, 104)).x_hat, expected.x_hat)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("multirate, roi", [(True, False), (False, True), (True, True)])
def test_beta_and_importance_steer_the_models_that_have_them(kind, multirate, roi, clip):
    model = wake(make(kind, multirate=multirate, roi=roi))
    q = torch.ones(1, 3, 1, 72, 104)
    low = q.clone()
    low[..., :52] = 0.2
    with torch.no_grad():
        base = model(clip, full(1e-3), q).x_hat
        assert torch.equal(model(clip, full(1e-3)).x_hat, base)  # no map is a map of ones
        assert torch.equal(model(clip, full(1e-2), q).x_hat, base) != multirate
        assert torch.equal(model(clip, full(1e-3), low).x_hat, base) != roi


@pytest.mark.parametrize("kind", KINDS)
def test_a_multirate_model_needs_beta(kind, clip):
    with pytest.raises(ConfigError, match="beta"):
        make(kind, multirate=True)(clip)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (17, 131), (128, 64)])
def test_any_size_comes_back_in_its_size(kind, size):
    with torch.no_grad():
        coded = make(kind)(torch.rand(2, 2, 3, *size))
    assert coded.x_hat.shape == (2, 2, 3, *size)
    assert coded.flow.shape == (2, 1, 2, *size)
    assert coded.bits.shape == (2, 2) and (coded.bits > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_rebuilds_what_the_encoder_saw(kind, clip):
    model = wake(make(kind, multirate=True, roi=True))
    model.update()
    x, past, previous = model.pad(clip), None, None
    q = torch.rand(1, 1, *x.shape[-2:])
    decoded = None
    for t in range(3):
        data, past = model.encode_frame(x[:, t], 1e-3, q, past, model.hint(x[:, t], previous))
        decoded = model.decode_frame(data, 1e-3, tuple(x.shape[-2:]), decoded)
        assert torch.equal(decoded.reference, past.reference)
        previous = x[:, t]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind, clip):
    model = wake(make(kind, multirate=True, roi=True)).train()
    coded = model(clip, full(1e-3), torch.rand(1, 3, 1, 72, 104))
    (coded.bits.mean() / 1e4 + ((coded.x_hat - clip) ** 2).mean()).backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_the_one_that_was_written(kind, clip, tmp_path):
    model = wake(make(kind, roi=True)).to(memory_format=torch.channels_last)
    save_model(model, tmp_path / "m.safetensors", {"steps": 7})
    loaded = load_model(tmp_path / "m.safetensors")
    assert fingerprint(loaded) == fingerprint(model)
    assert read_model_info(tmp_path / "m.safetensors")["meta"] == {"steps": 7}
    with torch.no_grad():
        assert torch.equal(loaded(clip).x_hat, model(clip).x_hat)


def test_tables_that_branches_share_are_in_the_file_once(tmp_path):
    save_model(make("patch"), tmp_path / "m.safetensors")
    tables = [k for k in load_state(tmp_path / "m.safetensors") if k.endswith("conditional._quantized_cdf")]
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert len(tables) == 3 and len(set(tables) & set(file.keys())) == 1
        state, about = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118 (not a dict)
    for alike in (json.dumps({tables[0]: "nothing"}), json.dumps({tables[0]: []}), "5", "[" * 100_000, "no JSON"):
        save_file(state, tmp_path / "m.safetensors", about | {"alike": alike})
        with pytest.raises(CheckpointError, match=r"m\.safetensors cannot be read"):
            load_model(tmp_path / "m.safetensors")


def test_another_model_has_another_fingerprint():
    a, b = make("patch", seed=0), make("patch", seed=1)
    a.update(), b.update()
    assert fingerprint(a) != fingerprint(b)


def test_wrong_checkpoints_are_refused_by_name(tmp_path):
    (tmp_path / "noise.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"noise\.safetensors"):
        load_model(tmp_path / "noise.safetensors")
    save_model(make("conv"), tmp_path / "conv.safetensors")
    with pytest.raises(CheckpointError, match="another architecture"):
        warm_start(make("patch"), tmp_path / "conv.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        warm_start(make("patch"), tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match="beta"):
        warm_start(make("conv", multirate=True, beta=1e-3), tmp_path / "conv.safetensors")


def test_a_conditioned_checkpoint_is_taken_over_whole_or_refused(tmp_path):
    start = wake(make("patch", multirate=True, roi=True))
    save_model(start, tmp_path / "m.safetensors")
    model = make("patch", seed=5, multirate=True, roi=True)
    warm_start(model, tmp_path / "m.safetensors")
    learnt = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(torch.equal(model.state_dict()[n], start.state_dict()[n]) for n in learnt)
    with pytest.raises(CheckpointError, match="another architecture"):
        warm_start(make("patch", multirate=True), tmp_path / "m.safetensors")


@pytest.mark.parametrize("extra", [{}, {"multirate": True, "roi": True}])
def test_a_model_goes_on_with_more_latents(extra, clip, tmp_path):
    start = make("patch", **extra)
    save_model(start, tmp_path / "m.safetensors")
    model = make("patch", seed=5, latent=64, **extra)
    warm_start(model, tmp_path / "m.safetensors")
    kept = [*range(24), *range(48, 52), *range(56, 60)]  # the lowest frequencies of lightness and of either colour
    found = []
    for m in (start, model):
        condition = m._condition(1e-3, torch.ones(1, 1, 96, 128), torch.device("cpu"))

        def keep(name, branch, y, condition, context, aim):
            y_hat, symbols, _ = branch.prior(y, condition.coarse, condition.e, context)
            found.append(symbols)
            return y_hat, symbols

        x = m.pad(clip[:, 0])
        with torch.no_grad():
            found.append((m.code_intra(x, condition, keep)[0] - x).square().mean())
    (few, worse, many, better) = found
    assert torch.equal(many[:, kept], few) and few.any()
    assert better < 0.9 * worse
    with torch.no_grad():
        assert model(clip, full(1e-3)).x_hat.isfinite().all()
    save_model(model, tmp_path / "wide.safetensors")
    # fewer; others of motion; of 63, 49 are of lightness, and 48 of 64
    save_model(make("patch", latent=63, **extra), tmp_path / "odd.safetensors")
    for name, other in (("wide", {}), ("wide", {"latent": 80, "motion_latent": 16}), ("odd", {"latent": 64})):
        with pytest.raises(CheckpointError, match="another architecture"):
            warm_start(make("patch", **extra | other), tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("latents", [8, 12])
@pytest.mark.parametrize("extra", [{}, {"multirate": True, "roi": True}])
def test_a_model_goes_on_with_a_motion_for_each_quarter_of_a_block(tmp_path, clip, extra, latents):
    start = wake(make("patch", **extra))
    save_model(start, tmp_path / "m.safetensors")
    model = make("patch", seed=5, fine_motion=True, motion_latent=latents, **extra)
    warm_start(model, tmp_path / "m.safetensors")
    x, reference = model.pad(clip[:, 1]), model.pad(clip[:, 0])
    condition = model._condition(1e-3, torch.ones(1, 1, 96, 128), torch.device("cpu"))
    told = torch.zeros(1, 8, 6, 8)
    told[:, :2] = torch.randn(1, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    quarters = torch.cat((told[:, :2].repeat_interleave(4, 1), torch.zeros(1, latents - 8, 6, 8)), dim=1)
    with torch.no_grad():
        ours, theirs = (m.motion.encode(torch.cat((x, reference, x[:, :2]), 1), condition) for m in (model, start))
        ours, theirs = (m.motion.scale_back(y, condition) for m, y in ((model, ours), (start, theirs)))
        # what its network makes of motion is what the other's makes of that less the mean of its surroundings
        ours_of = model.motion.decoder(quarters, condition.e)
        ours_of = ours_of - model.motion.decoder.linear(F.pixel_shuffle(quarters[:, :8], 2))
        less = relative(told, 1)
        theirs_of = start.motion.decoder(less, condition.e) - start.motion.decoder.linear(less)
        assert ours_of.abs().max() > 0.01 and torch.allclose(ours_of, theirs_of, atol=1e-4)
        assert torch.allclose(ours[:, :8].view(1, 2, 4, 6, 8).mean(2), theirs[:, :2], atol=1e-3)
        assert not ours[:, 8:].any()
        assert torch.equal(model(clip, full(1e-3)).x_hat[:, 0], start(clip, full(1e-3)).x_hat[:, 0])


def test_a_pan_is_nothing_new_to_the_decoder_however_fast_it_is(clip):
    model = wake(make("patch", fine_motion=True))
    motion = torch.randn(1, 8, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        slow, fast = (model.motion.decoder(motion + pan) for pan in (0, 100))
    assert torch.allclose(fast[:, :2], slow[:, :2] + 100, atol=1e-2) and torch.allclose(
        fast[:, 2], slow[:, 2], atol=1e-3
    )


def test_fine_motion_needs_room_for_four_quarters():
    with pytest.raises(ConfigError, match=r"fine_motion needs .*motion_latent of 8 or more"):
        make("patch", fine_motion=True, motion_latent=6)
    with pytest.raises(ConfigError, match=r"fine_motion needs .*spatial_prediction=true"):
        make("patch", fine_motion=True, spatial_prediction=False)


def test_gains_follow_beta_where_another_rate_is_continued(tmp_path):
    save_model(make("patch", beta=4e-4), tmp_path / "m.safetensors")
    model = make("patch", beta=1.6e-3, gain_slope=-0.5)
    warm_start(model, tmp_path / "m.safetensors")
    start = load_model(tmp_path / "m.safetensors")
    assert torch.allclose(model.intra.gain(None), start.intra.gain(None) / 2, rtol=1e-3)
    assert torch.allclose(model.motion.gain(None), start.motion.gain(None) / 2**0.5, rtol=1e-3)


def test_weights_of_compressai_are_converted_to_pixels(tmp_path):
    """At 256x256, where its normalised coordinates were learnt, the converted model is CompressAI's."""
    from compressai.models.video import ScaleSpaceFlow as Theirs

    from pvc.models.ssf import ScaleSpaceFlow

    torch.manual_seed(0)
    theirs = Theirs().eval()
    with torch.no_grad():
        theirs.motion_decoder[6].weight.mul_(0.05)  # motion of a few pixels instead of half the frame
        for p in theirs.res_hyperprior.parameters():
            p.add_(0.01)
    old_names = {"matrices.": "_matrix", "biases.": "_bias", "factors.": "_factor"}  # as in the published files
    state = theirs.state_dict()
    for new, old in old_names.items():
        state = {k.replace(new, old): v for k, v in state.items()}
    torch.save(state, tmp_path / "ssf2020.pth.tar")
    ours = ScaleSpaceFlow().eval()
    warm_start(ours, tmp_path / "ssf2020.pth.tar")
    frames = torch.rand(1, 2, 3, 256, 256)
    with torch.no_grad():
        x_hat, _ = theirs.forward_keyframe(frames[:, 0])
        motion = theirs.motion_decoder(theirs.motion_encoder(frames.flatten(1, 2)))
        expected = theirs.forward_prediction(x_hat, motion)
        coded = ours(frames)
        prediction, _ = ours.predict(x_hat, ours.motion.decoder(ours.motion.encoder(frames.flatten(1, 2))))
    assert torch.allclose(coded.x_hat[:, 0], x_hat, atol=1e-4)
    assert torch.allclose(prediction, expected, atol=1e-3)
    for theirs_part, part in (("img", ours.intra), ("res", ours.residual), ("motion", ours.motion)):
        factor = getattr(theirs, f"{theirs_part}_hyperprior").entropy_bottleneck.factors[0]
        assert torch.equal(part.prior.factorized.factors[0], factor)
    with pytest.raises(CheckpointError, match="ssf2020"):
        from_compressai({})


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth.tar"])
def test_a_damaged_file_to_start_from_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read as a checkpoint"):
        warm_start(make("conv"), tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_lead_are_coded_but_not_returned(kind, clip):
    model = wake(make(kind, multirate=True, roi=True))
    longer, q = torch.cat((clip, clip[:, 1:2]), dim=1), torch.rand(1, 4, 1, 72, 104)
    with torch.no_grad():
        whole = model(longer, full(1e-3), q)
        led = model(longer, full(1e-3), q, lead=2)
    assert torch.equal(led.x_hat, whole.x_hat[:, [0, 3]])
    assert torch.equal(led.bits, whole.bits[:, [0, 3]])
    assert torch.equal(led.flow, whole.flow[:, 2:])


@pytest.mark.parametrize(
    "through, reached", [("none", [False, False]), ("inter", [False, True]), ("all", [True, True])]
)
def test_gradients_pass_the_references_that_they_are_told(through, reached, clip):
    """From the last frame to the sources of the two before it; the motion is coded from sources."""
    model = wake(make("conv")).train()
    frames = clip.clone().requires_grad_()
    coded = model(frames, through=through)
    assert [bool(g.any()) for g in torch.autograd.grad(coded.x_hat[:, 2].sum(), frames)[0][0, :2]] == reached
    frames = clip.clone().requires_grad_()
    led = model(frames, lead=1, through=through)
    assert not torch.autograd.grad(led.x_hat[:, 1].sum(), frames)[0][0, :2].any()


def test_a_model_without_a_step_map_keeps_its_fingerprint():
    """Streams name the model that decodes them, so a model that is as it was must have the hash that it had."""
    assert "step_map" not in make("patch").config
    assert make("patch", roi=True).config["step_map"]
