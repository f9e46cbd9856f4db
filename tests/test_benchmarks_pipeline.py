"""The benchmark of the pipeline, on a small project of its own, and the rule of the study without affect."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.errors import UsageProblem
from eegpipe.protocols import PROTOCOLS, SplitSettings

from import_graph import ROOT
from planted_segments import planted


@pytest.fixture(scope="module")
def modules():
    """The scripts' own modules: they are no package, so that they run from anywhere."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import no_affect
        import no_affect_figure
        import no_affect_plans
        import no_affect_rows
        import no_affect_together

        import pipeline

        yield SimpleNamespace(
            pipeline=pipeline,
            study=no_affect,
            figure=no_affect_figure,
            plans=no_affect_plans,
            rows=no_affect_rows,
            together=no_affect_together,
        )
    finally:
        sys.path.remove(folder)


@pytest.fixture
def project(tmp_path):
    """Two stages, one of which computes; results of an earlier run that must not be copied."""
    folder = tmp_path / "project"
    (folder / "metrics").mkdir(parents=True)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (folder / "params.yaml").write_text("steps: {count: 3}\n")
    (folder / "metrics/old.json").write_text("{}\n")
    (folder / "dvc.lock").write_text("schema: '2.0'\n")
    (folder / "busy.py").write_text(
        "import sys, time, yaml\n"
        "while time.process_time() < 0.5: pass\n"
        "open(sys.argv[1], 'w').write(str(yaml.safe_load(open('params.yaml'))['steps']['count']))\n"
    )
    (folder / "dvc.yaml").write_text(
        "stages:\n"
        f"  first:\n    cmd: {sys.executable} busy.py a.txt\n    outs: [a.txt]\n    params: [steps.count]\n"
        f"  second:\n    matrix: {{of: [x]}}\n    cmd: {sys.executable} busy.py b.txt\n    deps: [a.txt]\n"
        "    outs: [b.txt]\n"
    )
    (folder / "untracked.txt").write_text("x")
    for command in (["init", "-q"], ["add", "--", "metrics", ".dvc", "params.yaml", "busy.py", "dvc.yaml", "dvc.lock"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_every_stage_is_timed_in_a_fresh_copy(modules, project, tmp_path):
    copy = tmp_path / "copy"
    modules.pipeline.copy_project(project, copy)
    assert sorted(path.name for path in copy.iterdir() if path.name != ".git") == [
        ".dvc",
        "busy.py",
        "dvc.yaml",
        "params.yaml",
    ]
    stages = modules.pipeline.run(copy, ["steps.count=7"])
    assert (copy / "b.txt").read_text() == "7"
    assert [stage.name for stage in stages[:-1]] == ["first", "second@x"]
    assert all(stage.wall_s > 0 for stage in stages)
    # Half a second each. Which of two so short stages it is put down to depends on when their first lines are read.
    assert sum(stage.cpu_s for stage in stages[:-1]) > 0.9
    total, cpu = sum(stage.wall_s for stage in stages), sum(stage.cpu_s for stage in stages)
    assert modules.pipeline.kinds(stages)["second"][0] == 1
    slowest = max(stages, key=lambda stage: stage.wall_s).name
    assert slowest in modules.pipeline.summary(stages, total)
    rows = modules.pipeline.rows(stages, total, cpu)
    assert [row.name for row in rows] == [f"pipeline.{stage.name}" for stage in stages] + ["pipeline.total"]
    assert rows[-1].ours == pytest.approx(total, abs=0.01)
    assert "first" in modules.pipeline.stage_table(stages, total, cpu)


def test_what_fails_is_shown_and_nothing_is_overwritten(modules, project, tmp_path):
    with pytest.raises(SystemExit, match="exists"):
        modules.pipeline.copy_project(project, project)
    (project / "busy.py").write_text("raise SystemExit('too busy')\n")
    modules.pipeline.copy_project(project, tmp_path / "copy")
    with pytest.raises(SystemExit, match="too busy"):
        modules.pipeline.run(tmp_path / "copy")
    with pytest.raises(SystemExit, match="no such setting"):
        modules.pipeline.run(tmp_path / "copy", ["steps.cuont=7"])


class TestWithoutAffect:
    # data set, method, protocol, whether it is leak free, one score a world without and with affect
    SCORES: ClassVar = [
        ("seed", "de", "art_within", False, [0.60, 0.62, 0.64], [0.80, 0.81, 0.82]),
        ("seed", "de", "fewshot_subject_stimulus", True, [0.30, 0.34, 0.36], [0.50, 0.52, 0.58]),
        ("seed", "lucky", "fewshot_subject_stimulus", True, [0.40, 0.41, 0.42], [0.40, 0.42, 0.41]),
    ]

    @pytest.fixture
    def rows(self, modules):
        def scored(values, leak_free):
            return [modules.rows.Score(value, leak_free, 1 / 3, 1 / 3) for value in values]

        return modules.rows.rows_of(
            {
                (dataset, method, protocol): {False: scored(without, free), True: scored(planted, free)}
                for dataset, method, protocol, free, without, planted in self.SCORES
            }
        )

    def test_rows(self, modules, rows):
        # what is leak free first
        assert [(row.method, row.protocol) for row in rows] == [
            ("de", "fewshot_subject_stimulus"),
            ("lucky", "fewshot_subject_stimulus"),
            ("de", "art_within"),
        ]
        de, lucky, within = rows
        assert de.covers_chance
        assert de.leak_free
        assert de.rise == pytest.approx(0.2)
        assert de.rise_low > 0
        assert not lucky.covers_chance
        assert lucky.rise_low < 0
        assert not within.leak_free
        assert within.off_low > 0
        words = modules.rows.summary(rows)
        assert "1 of 2 leak-free rows cover own chance, 1 that of guesses; 1 of 1" in words
        assert "1 of 2 leak-free rows rise, 1 by their mean" in words
        assert "Leak free, own chance not covered: lucky on seed, fewshot_subject_stimulus." in words
        assert "Leaking, not above" not in words
        assert modules.rows.by_protocol(rows).count("fewshot_subject_stimulus") == 1

    def test_chance_is_that_of_the_answers(self, modules):
        """A class that is preferred where it is tested least scores below guesses, without any signal."""
        scores = [modules.rows.Score(value, True, 1 / 3, value + off) for value, off in ((0.230, 0.01), (0.231, -0.01))]
        (row,) = modules.rows.rows_of({("faced", "de", "emod_faced_stimulus"): {False: scores, True: scores}})
        assert not row.covers_guesses
        assert row.covers_chance
        assert row.off == pytest.approx(0)

    def test_the_figure_is_a_picture(self, modules, rows):
        tree = ElementTree.fromstring(modules.figure.figure(rows, 3))
        said = _words(tree)
        assert "leaks (same trials)" in said
        assert "lucky" in said
        assert "3 simulations" in said

    def test_every_protocol_has_a_panel(self, modules, rows):
        more = [*rows, replace(rows[0], dataset="faced", protocol="emod_faced_stimulus", chance=1 / 9)]
        said = _words(ElementTree.fromstring(modules.figure.panels(more, 3)))
        for words in ("fewshot_subject_stimulus", "emod_faced_stimulus", "FACED, chance 0.11", "Leaking", "lucky"):
            assert words in said

    def test_every_protocol_is_in_the_study_of_all(self, modules):
        """Those that no world names by itself are SEED's, which has three sessions there."""
        worlds = {world.dataset: world for world in modules.plans.EVERY.worlds}
        assert worlds["seed"].protocols is None
        assert worlds["seed"].simulated["sessions"] == 3
        elsewhere = {name for world in worlds.values() for name in world.protocols or ()}
        of_others = {name for name, plan in PROTOCOLS.items() if plan.draw in ("faced", "seed_v")}
        assert of_others <= elsewhere

    @pytest.fixture
    def again(self, modules, rows, tmp_path, monkeypatch):
        """Writes a study of three simulations and repeats what missed; gives what was asked for of each simulation."""
        asked = []

        def arm(study, number, affect, methods, *_):
            (world,) = study.worlds
            asked.append((study.first_seed + number, affect, methods, study.plans[methods[0]].protocols))
            for protocol, value in (("fewshot_subject_stimulus", 0.30 + 0.05 * number), ("art_within", 1.0)):
                yield (world.dataset, methods[0], protocol), modules.rows.Score(value, True, 1 / 3, 1 / 3)

        monkeypatch.setattr(modules.study, "_arm", arm)
        monkeypatch.setattr(modules.study, "_check_models", lambda *_: None)
        study = modules.plans.usual(to_leak=True)
        modules.study._write_rows(tmp_path / "study.json", rows, study, 3)

        def run(*arguments, file="study.json"):
            modules.study.main(
                ["--again", str(tmp_path / file), "--json", str(tmp_path / "again.json"), "--to-leak", *arguments]
            )
            return asked

        return run

    def test_what_missed_is_repeated_on_other_simulations(self, modules, again, tmp_path, capsys):
        assert again("--worlds", "2") == [
            (seed, False, ("lucky",), ("fewshot_subject_stimulus",)) for seed in (104, 105)
        ]
        assert "On other simulations 1 of 1 cover own chance." in capsys.readouterr().out
        content = json.loads((tmp_path / "again.json").read_text())
        assert content["first_seed"] == 104
        (row,) = (modules.rows.Repeated(**entry) for entry in content["rows"])
        assert (row.method, row.protocol) == ("lucky", "fewshot_subject_stimulus")
        assert row.before == pytest.approx(0.41)
        assert row.without == pytest.approx(0.325)
        assert row.covers_chance

    def test_only_simulations_that_were_not_seen(self, again):
        again("--worlds", "2", "--first-seed", "99")
        with pytest.raises(UsageProblem, match=r"found 99, but .*study\.json has the seeds 101 to 103"):
            again("--worlds", "3", "--first-seed", "99")

    @pytest.mark.usefixtures("again")
    def test_rows_of_another_study_are_not_repeated(self, modules, tmp_path):
        with pytest.raises(UsageProblem, match=r"study\.json is of another study"):
            modules.study.main(["--again", str(tmp_path / "study.json")])

    OLD = '{"worlds": 3, "first_seed": 101, "simulated": {}, "rows": [{"dataset": "seed", "without": 0.4}]}'

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', OLD])
    def test_no_study_to_repeat(self, again, tmp_path, text):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(UsageProblem, match=r"other\.json is not what"):
            again(file="other.json")

    def test_the_pages_say_what_the_study_found(self, modules):
        content = json.loads((ROOT / "docs/no-affect-every.json").read_text())
        rows = [modules.rows.Row(**entry) for entry in content["rows"]]
        free, leaking = ([row for row in rows if row.leak_free is kind] for kind in (True, False))
        covering, risen = sum(row.covers_chance for row in free), sum(row.rise_low > 0 for row in free)
        above = sum(row.off_low > 0 for row in leaking)
        assert risen == len(free)
        for page in ("docs/evaluation.md", "README.md"):
            text = " ".join((ROOT / page).read_text().split())
            assert f"{covering} of {len(free)}" in text, page
            assert f"all {len(free)}" in text, page
        assert f"{above} of {len(leaking)} rows lie above their own chance by their interval" in " ".join(
            (ROOT / "docs/evaluation.md").read_text().split()
        )
        assert (ROOT / "docs/no-affect-every.svg").read_text() == modules.figure.panels(rows, content["worlds"])

    def test_the_page_has_every_row_that_missed_and_what_it_gave_again(self, modules):
        first = [
            modules.rows.Row(**entry) for entry in json.loads((ROOT / "docs/no-affect-every.json").read_text())["rows"]
        ]
        studies = json.loads((ROOT / "docs/no-affect-every-again.json").read_text())
        again, *_ = ([modules.rows.Repeated(**entry) for entry in study["rows"]] for study in studies)
        missed = [row for row in first if row.leak_free and not (row.covers_chance and row.covers_guesses)]
        assert [(row.dataset, row.method, row.protocol) for row in missed] == [
            (row.dataset, row.method, row.protocol) for row in again
        ]
        page = (ROOT / "docs/evaluation.md").read_text()
        for before, after in zip(missed, again, strict=True):
            cells = [f"| `{before.method}` | `{before.protocol}` |", f"| {before.chance:.3f} "]
            for row in (before, after):
                cells.append(f"| {row.without:.3f} ({row.without_low:.3f} to {row.without_high:.3f}) ")
                cells.append(f"| {row.off:.3f} ({row.off_low:.3f} to {row.off_high:.3f}) ")
            line = next(line for line in page.splitlines() if line.startswith(cells[0]) and line.count("|") == 10)
            assert line[line.index(cells[1]) :].startswith("".join(cells[1:]))
        off = [row for row in missed if not row.covers_chance]
        assert all(
            row.covers_chance for row in again if (row.method, row.protocol) in {(r.method, r.protocol) for r in off}
        )
        used = [range(study["first_seed"], study["first_seed"] + study["worlds"]) for study in studies]
        assert len({seed for seeds in used for seed in seeds}) == sum(map(len, used))

    @pytest.mark.parametrize(("most", "expected"), [(None, 9), (4, 4)])
    def test_a_plan_takes_some_folds(self, modules, most, expected):
        target = planted("class", dataset="seed", subjects=3, clips=9, n_classes=3, channels=2)
        plan = modules.plans.Plan(most_folds=most, leaking=())
        world = modules.plans.World("seed", "seed", {}, ("loso_stimulus", "loso", "emod_seedv"))
        (split,) = modules.study._splits(plan, world, target, SplitSettings())
        assert split.protocol == "loso_stimulus"  # the others leak, or are another data set's
        assert len(split.folds) == expected
        split.check(target)
        assert modules.study._splits(plan, world, target, SplitSettings())[0] == split


class TestAllRowsTogether:
    """The rule of docs/evaluation.md that judges a whole study without affect."""

    WORLDS = 10

    @pytest.fixture
    def unplanted(self, modules):
        """Two leak-free protocols at chance and two that leak, three methods each; a row can be moved."""

        def make(moved=(), by=0.0, spread=0.03, seed=0):
            random = np.random.default_rng(seed)
            rows = []
            for dataset, protocol, leak_free, off in (
                ("seed", "loso_stimulus", True, 0.0),
                ("faced", "emod_faced_stimulus", True, 0.0),
                ("seed", "loso", False, 0.1),
                ("seed_v", "emod_seedv", False, 0.0),
            ):
                for method in ("de", "emod", "art"):
                    noise = random.standard_normal(self.WORLDS)
                    noise = (noise - noise.mean()) / noise.std()
                    shift = by if (method, protocol) in moved else 0.0
                    scores = 1 / 3 + off + shift + spread * noise
                    dealt = [1 / 3] * self.WORLDS
                    rows.append(modules.together.Scored(dataset, method, protocol, leak_free, 1 / 3, scores, dealt))
            return rows

        return make

    def test_the_rule_holds(self, modules, unplanted):
        rows = unplanted()
        assert modules.together.holds(rows)
        words = modules.together.report(rows)
        assert "intervals for all together: 6 of 6; that lie above guesses: 0 of 6" in words
        assert "whose mean covers own chance, intervals for all together: 2 of 2" in words
        assert "each by its interval: 1 of 1 (without emod_seedv)" in words
        assert "by the interval of the leak-free rows: 3 of 6" in words
        assert words.endswith("Without affect the rule holds.")

    def test_a_row_off_chance_breaks_it(self, modules, unplanted):
        for by in (0.1, -0.1):
            rows = unplanted([("emod", "loso_stimulus")], by)
            assert not modules.together.holds(rows)
            assert "own chance not covered: emod on seed, loso_stimulus" in modules.together.report(rows)

    def test_a_leak_that_raises_the_chance_of_the_answers_breaks_it(self, modules, unplanted):
        rows = unplanted([("emod", "loso_stimulus")], 0.1)
        moved = next(row for row in rows if (row.method, row.protocol) == ("emod", "loso_stimulus"))
        rows[rows.index(moved)] = replace(moved, dealt=[0.1 + 1 / 3] * self.WORLDS)
        assert all(one.covers_chance for one in modules.together.judged_rows(rows) if one.leak_free)
        assert not modules.together.holds(rows)
        assert "above guesses: emod on seed, loso_stimulus" in modules.together.report(rows)

    def test_what_all_methods_of_a_protocol_share_breaks_it(self, modules, unplanted):
        """Less than a row by itself can show."""
        rows = unplanted([(method, "loso_stimulus") for method in ("de", "emod", "art")], 0.025)
        assert all(one.covers_chance for one in modules.together.judged_rows(rows) if one.leak_free)
        assert not modules.together.holds(rows)
        assert "own chance not covered: mean of 3 methods on seed, loso_stimulus" in modules.together.report(rows)

    def test_a_leak_that_does_not_show_breaks_it(self, modules, unplanted):
        rows = unplanted([(method, "loso") for method in ("de", "emod", "art")], -0.1)
        assert not modules.together.holds(rows)
        assert "leaks, not above own chance: mean of 3 methods on seed, loso," in modules.together.report(rows)

    def test_the_intervals_hold_together(self, modules):
        """Of studies in which nothing leaks at least 95 in 100 have every row within its interval."""
        random = np.random.default_rng(1)
        held = 0
        for _ in range(300):
            scores = 0.5 + 0.05 * random.standard_normal((10, self.WORLDS))
            rows = [
                modules.together.Scored("seed", f"{number}", "loso_stimulus", True, 0.5, row, [0.5] * self.WORLDS)
                for number, row in enumerate(scores)
            ]
            held += all(one.covers_chance for one in modules.together.judged_rows(rows))
        assert 0.93 <= held / 300 <= 0.99

    def test_the_pages_say_what_the_study_found(self, modules):
        content = json.loads((ROOT / "docs/no-affect-together.json").read_text())
        rows, planted = ([modules.together.Scored(**entry) for entry in content[key]] for key in ("rows", "planted"))
        assert (content["first_seed"], content["worlds"]) == (601, 10)
        assert {len(row.scores) for row in (*rows, *planted)} == {10}
        assert modules.together.holds(rows)
        singles, protocols = modules.together.judged_rows(rows), modules.together.judged_protocols(rows)
        pages = [" ".join((ROOT / page).read_text().split()) for page in ("docs/evaluation.md", "README.md")]
        free = sum(one.leak_free for one in singles)
        seen = [one for one in singles if not one.leak_free and one.above]
        (people,) = modules.together.gains(planted)
        for text in pages:
            assert f"{free} of {free} leak-free rows cover" in text
            assert f"{people.gain:.3f} ({people.low:.3f} to {people.high:.3f})" in text
        assert f"{len(seen)} of the {len(singles) - free} leaking rows lie above own chance" in pages[0]
        for one in protocols:
            above = sum((row.dataset, row.protocol) == (one.dataset, one.protocol) and row.above for row in singles)
            score, off = f"{one.without:.3f}", f"{one.off:.3f} ({one.off_low:.3f} to {one.off_high:.3f})"
            name = datasets.get(one.dataset).title.split(":")[0]
            assert f"| `{one.protocol}` | {name} | {one.methods} | {score} | {off} | {above} |" in pages[0]
        figure = modules.figure.off_chance(rows, content["worlds"])
        assert (ROOT / "docs/no-affect-together.svg").read_text() == figure

    @pytest.fixture
    def run(self, modules, tmp_path, monkeypatch):
        """The study itself on scores that are given; returns which simulations it asked for."""
        asked = []

        def arm(study, number, affect, *_):
            asked.append((study.first_seed + number, affect))
            if affect:
                assert [world.dataset for world in study.worlds] == ["seed_v"]
                yield ("seed_v", "de", "emod_seedv"), modules.rows.Score(0.5 + 0.01 * number, False, 0.2, 0.2)
                yield ("seed_v", "de", "emod_seedv_subject"), modules.rows.Score(0.4, True, 0.2, 0.2)
                return
            yield ("seed", "de", "loso_stimulus"), modules.rows.Score(0.3 + 0.04 * number, True, 1 / 3, 1 / 3)
            yield ("seed", "de", "loso"), modules.rows.Score(0.6 + 0.01 * number, False, 1 / 3, 1 / 3)

        monkeypatch.setattr(modules.study, "_arm", arm)
        monkeypatch.setattr(modules.study, "_check_models", lambda *_: None)

        def run(*arguments):
            files = ("--json", str(tmp_path / "together.json"), "--figure", str(tmp_path / "together.svg"))
            modules.study.main(["--every", "--together", *files, *arguments])
            return asked

        return run

    def test_without_affect_alone(self, modules, run, tmp_path, capsys):
        assert run("--first-seed", "601", "--worlds", "3") == [
            (seed, affect) for affect in (False, True) for seed in (601, 602, 603)
        ]
        said = capsys.readouterr().out
        assert said.index("world 3 of 3, affect False") < said.index(
            "loso_stimulus"
        )  # no score before all simulations are there
        assert "Without affect the rule holds." in said
        assert "With affect emod_seedv lies +0.110 (+0.085 to +0.135) off emod_seedv_subject" in said
        content = json.loads((tmp_path / "together.json").read_text())
        rows = [modules.together.Scored(**entry) for entry in content["rows"]]
        assert (content["first_seed"], content["worlds"]) == (601, 3)
        assert len(content["planted"]) == 2
        assert rows[0].scores == pytest.approx([0.30, 0.34, 0.38])
        words = _words(ElementTree.fromstring((tmp_path / "together.svg").read_text()))
        assert "loso_stimulus, SEED" in words
        assert "mean of 3 simulations" in words

    @pytest.mark.parametrize("arguments", [("--worlds", "1"), ("--again", "FILE")])
    def test_what_it_cannot_do(self, run, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
        assert "--together: found" in capsys.readouterr().err


def _words(tree):
    assert tree.tag.endswith("svg")
    return " ".join(element.text or "" for element in tree.iter() if element.tag.endswith("text"))
