import json

import numpy as np
import pytest

from app import demo_case
from app.cli import run
from app.context import Settings
from app.demo import DemoTools, run_demo
from app.demo_case import DemoParams, case_params, open_demo_folder, simulate_case
from app.method import AnalysisMethod
from app.reference_cohort import read_cohort_recipe
from cohorts.manifest import read_manifest
from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, OutputNotWritableError
from engine.io.analysis_files import write_analysis
from engine.io.mrc import read_tomogram
from engine.simulation.case import SimulatedTomogram, Truth
from tests.analyses import analysis
from tests.diagnostics import synthetic

CALLS = []
PARAMS = DemoParams(seed=3, n_tomograms=2)


def simulate(params, *, seed, tomogram_id, device, on_progress):
    """A field of noise: the simulator has tests of its own, and takes its time."""
    on_progress(0.5)
    rng, shape = np.random.default_rng(seed), (16, 32, 32)
    tomogram = Tomogram(
        tomogram_id,
        rng.normal(size=shape).astype(np.float32),
        10.0 * params.acquisition.voxel_size_nm,
        params.acquisition.tilt_range,
        "bright",
        Provenance("0", "0" * 64, seed=seed, simulated=True),
    )
    empty = np.zeros(shape, dtype=np.uint8)
    nothing = empty > 0
    truth = Truth(
        regions=empty, instances=empty.astype(np.uint16), membrane=nothing,
        microtubule_core=nothing, outer_membrane=nothing, inner_membrane=nothing, crista=nothing,
        ribosome=nothing, ribosomes_angst=np.empty((0, 3)), matrix_granule=nothing,
        matrix_granules_angst=np.empty((0, 3)), organelles=(), filaments=(),
    )  # fmt: skip
    return SimulatedTomogram(tomogram, tomogram.voxels, truth, params, seed)


def analyse(path, out_folder, *, voxel_size_angst=None, contrast="auto", tilt_range=None,
            device="auto", on_progress=None):  # fmt: skip
    CALLS.append(path.name)
    tomogram = read_tomogram(
        path, voxel_size_angst=voxel_size_angst, contrast=contrast, tilt_range=tilt_range
    )
    found = analysis(tomogram.provenance.simulated, tomogram.voxels.shape)
    write_analysis(found, tomogram, out_folder)
    return found


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.setattr(demo_case, "simulate_tomogram", simulate)
    CALLS.clear()
    method = AnalysisMethod(analyse, {"fake": 1})
    return DemoTools(method, (synthetic.reference(), synthetic.model()))


def test_the_demo_goes_the_whole_way_and_a_second_run_redoes_nothing(tmp_path, tools):
    folder, seen = tmp_path / "demo", []
    made = run_demo(folder, PARAMS, Settings(), seen.append, tools)
    assert sorted(CALLS) == ["DEMO-01_1.mrc", "DEMO-01_2.mrc"]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert (folder / "report" / "report.html").is_file()
    assert (folder / "store.sqlite").is_file()
    assert made.written.report.simulated_case
    assert [row.donor for row in read_manifest(folder / "manifest.csv").donors] == ["DEMO-01"]
    files = {p: p.stat().st_mtime_ns for p in folder.glob("tomograms/*.mrc")}
    pages = (folder / "report" / "report.html").read_bytes()
    again = run_demo(folder, PARAMS, Settings(), seen.append, tools)
    assert len(CALLS) == 2
    assert {p: p.stat().st_mtime_ns for p in folder.glob("tomograms/*.mrc")} == files
    assert (folder / "report" / "report.html").read_bytes() == pages
    assert again.truth == made.truth
    assert again.written.report_id == made.written.report_id


def test_an_interrupted_demo_goes_on_where_it_stopped(tmp_path, tools):
    def stop(fraction):
        if fraction > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "demo", PARAMS, Settings(), stop, tools)
    first = tmp_path / "demo" / "tomograms" / "DEMO-01_1.mrc"
    kept = first.stat().st_mtime_ns
    run_demo(tmp_path / "demo", PARAMS, Settings(), lambda fraction: None, tools)
    assert first.stat().st_mtime_ns == kept
    assert (tmp_path / "demo" / "report" / "report.pdf").is_file()


def test_the_same_seed_gives_the_same_tomograms_and_another_one_others(tmp_path, tools):
    voxels = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        params = DemoParams(seed=seed, n_tomograms=1)
        open_demo_folder(tmp_path / name, params)
        simulate_case(tmp_path / name, params, "cpu", lambda fraction: None)
        path = tmp_path / name / "tomograms" / "DEMO-01_1.mrc"
        found = read_tomogram(path)
        assert found.provenance.simulated
        voxels.append(found.voxels)
    assert np.array_equal(voxels[0], voxels[1])
    assert not np.array_equal(voxels[0], voxels[2])


def test_the_case_is_drawn_like_a_further_donor_of_the_positive_group():
    drawn = case_params(DemoParams(seed=1, n_tomograms=4))
    recipe = read_cohort_recipe()
    assert len({seed for _, seed in drawn}) == 4
    for params, _ in drawn:
        assert params.scene.shape == recipe.shape
        assert params.acquisition.voxel_size_nm == recipe.voxel_size_nm
    assert case_params(DemoParams(seed=1, n_tomograms=4)) == drawn


def test_a_folder_of_others_or_of_another_seed_is_refused(tmp_path):
    open_demo_folder(tmp_path / "demo", PARAMS)
    open_demo_folder(tmp_path / "demo", PARAMS)
    with pytest.raises(BadInputError, match="the demo of seed 3"):
        open_demo_folder(tmp_path / "demo", DemoParams(seed=4))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(BadInputError, match="files of others"):
        open_demo_folder(tmp_path / "other", PARAMS)
    with pytest.raises(OutputNotWritableError):
        open_demo_folder(tmp_path / "other" / "letter.txt", PARAMS)


def test_a_broken_note_of_an_earlier_run_is_not_taken_for_one(tmp_path):
    for text in ("", "[]", "{"):
        (tmp_path / "demo.json").write_text(text)
        with pytest.raises(BadInputError, match="files of others"):
            open_demo_folder(tmp_path, PARAMS)


def test_the_command_prints_where_the_report_is(tmp_path, tools, capsys, monkeypatch):
    def shipped(folder, params, settings, on_progress):
        return run_demo(folder, DemoParams(params.seed, 1), settings, on_progress, tools)

    monkeypatch.setattr("app.demo.run_demo", shipped)
    assert run(["--json", "--quiet", "demo", "--out", str(tmp_path / "d"), "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"]["report.html"] == str(tmp_path / "d" / "report" / "report.html")
    assert found["truth"][0]["tomogram"] == "DEMO-01_1"
    assert "serve" in found["serve"]
