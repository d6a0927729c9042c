"""Axes: every value of every metric family is shown by a name of its own, in the right direction."""

from pvc.metrics import load_metrics, metric_names
from pvc.metrics.axes import axis, in_order


def test_every_value_has_a_title_and_a_direction():
    names = [name for metric in load_metrics(metric_names()) for name in metric.names]
    titles = [axis(name).title for name in names]
    assert len(set(titles)) == len(titles) and not set(titles) & set(names)
    lower = {n for n in names if not axis(n).higher_is_better}
    families = ("lpips", "dists", "fid", "kid", "feat_", "brisque", "blur")
    assert lower == {n for n in names if n.startswith(families)}


def test_psnr_comes_first_and_unknown_values_last():
    assert in_order({"zeta", "vmaf", "psnr_roi", "psnr", "ssim_bg"}) == ["psnr", "psnr_roi", "ssim_bg", "vmaf", "zeta"]
    assert axis("ssim_roi").scale(0.9) == axis("ms_ssim").scale(0.9)
