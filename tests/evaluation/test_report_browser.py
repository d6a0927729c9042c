"""The report in a browser: curves that answer the mouse, and pictures that a wipe compares."""

import pytest

from pvc.evaluation import evaluate
from pvc.evaluation.publish import publish
from pvc.metrics import load_metrics
from tests.browser import find_browser, page
from tests.evaluation.conftest import BlockCodec, make_sequence

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium to open the report with (or set PVC_BROWSER)"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Records of an evaluation with a report, and its folder."""
    out = tmp_path_factory.mktemp("run")
    settings = {"gop": 12, "beta": [2e-4, 8e-4, 3.2e-3, 1.28e-2], "u_alpha": [1.0, 0.2]}
    codecs = [BlockCodec("base", False, settings["beta"]), BlockCodec("roi")]
    clips = [make_sequence("a"), make_sequence("b", 1), make_sequence("c", 2, mask=False)]
    records = evaluate(codecs, clips, load_metrics(["psnr"]), out, settings).records
    publish(records, out, ["base"])
    return records, out


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    """The page."""
    with page(find_browser(), tmp_path_factory.mktemp("profile")) as shown:
        shown.open(run[1] / "report.html")
        yield shown
        assert shown.errors == []


def test_hovering_a_point_shows_its_values(run, report):
    report.value("document.querySelector('[name=panel]').value = 1, document.querySelector('[name=panel]').onchange()")
    assert report.value("document.querySelector('.tip').hidden")
    record = next(r for r in run[0] if (r.codec, r.sequence, r.point["beta"]) == ("base", "a", 8e-4))
    x, y, *_ = report.box("#curves svg[role=img]")
    marker = report.value(
        "(([g]) => [...g.querySelectorAll(':not(polyline)')].map((m) => m.getBoundingClientRect())"
        ".map((r) => [r.x + r.width / 2, r.y + r.height / 2]))"
        "([...document.querySelectorAll('#curves .curve')])"
    )
    points = sorted((r.bpp, r) for r in run[0] if (r.codec, r.sequence) == ("base", "a"))
    place = marker[[r for _, r in points].index(record)]
    report.until(  # the picture is drawn anew when its width changes, which may be just now
        "!document.querySelector('.tip').hidden", each=lambda: report.mouse("mouseMoved", *place)
    )
    said = report.value("document.querySelector('.tip').textContent")
    for part in ("base", "beta 0.0008", f"{record.bpp:.4g} bpp", f"{record.kbps:.4g} kbit/s"):
        assert part in said, said
    assert f"PSNR {record.metrics['psnr']:.4g}" in said
    report.mouse("mouseMoved", x + 2, y + 2)
    assert report.value("document.querySelector('.tip').hidden")


def test_a_click_on_a_name_hides_its_curve(report):
    before = report.value("document.querySelectorAll('#curves .curve').length")
    report.click("#curves .legend button")
    assert report.value("document.querySelectorAll('#curves .curve').length") == before - 1
    report.click("#curves .legend button")
    assert report.value("document.querySelectorAll('#curves .curve').length") == before


_SHARE = """(() => {
  const canvas = document.querySelector('.scene:not([data-later]) .stage canvas'), context = canvas.getContext('2d');
  const row = context.getImageData(0, canvas.height >> 1, canvas.width, 1).data, found = [];
  const white = (i) => row[4 * i] === 255 && row[4 * i + 1] === 255 && row[4 * i + 2] === 255;
  for (let i = 0; i < canvas.width; i++) if (white(i)) found.push(i);
  return found.length ? (found[0] + found[found.length - 1]) / 2 / canvas.width : null;
})()"""


def test_the_wipe_moves_with_the_mouse(report):
    report.click("[data-mode=compare]")
    stage = ".scene:not([data-later]) .stage canvas"
    x, y, width, height = report.box(stage)
    assert width > 50 and height > 30
    for share in (0.25, 0.75):
        report.mouse("mouseMoved", x + share * width, y + height / 2)
        report.until(f"Math.abs({_SHARE} - {share}) < 0.05")
    tags = report.value(
        f"[...document.querySelector({stage!r}).parentElement.querySelectorAll('.tag')].map((t) => t.textContent)"
    )
    assert tags[0] == "Reference" and tags[1] != tags[0]


def test_the_difference_of_the_reference_is_no_picture_but_that_of_a_codec_is(report):
    report.click("[data-mode=difference]")
    drawn = "[...document.querySelectorAll('.scene:not([data-later]) figure canvas')]"
    report.until(f"{drawn}.length && {drawn}.every((c) => !c.hidden && c.width > 0)")
    sums = report.value(
        f"{drawn}.map((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        ".reduce((sum, v, i) => i % 4 === 3 ? sum : sum + v, 0))"
    )
    figures = report.value("document.querySelectorAll('.scene:not([data-later]) figure').length")
    assert len(sums) == figures - 1 and all(total > 0 for total in sums)
    report.click("[data-mode=decoded]")


def test_only_clips_with_a_region_of_interest_offer_its_outline(report):
    choice, offered = "document.querySelector('[name=scene]')", "document.querySelector('.for-outline').offsetWidth > 0"
    for place, expected in ((0, True), (2, False), (1, True)):
        report.value(f"{choice}.selectedIndex = {place}, {choice}.onchange()")
        assert report.value(offered) is expected
