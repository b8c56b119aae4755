"""What no film may do to a run: end it, stop it, be left out in silence, or be blamed for another one."""

import json
import os
import shutil

import pytest

from tbconv.contract.errors import BundleError, DataError, SetupError, Silence
from tf_serve.score.engines import local
from tf_serve.score.films import Pseudonyms
from tf_serve.score.run import ScoreConfig
from tf_serve.score.run import score as run_score

# What a worker runs instead: films that begin with a word do to it what decoders of others have done to servers.
POISONED = """
import json, os, signal, sys, time
sys.path[:] = json.loads(sys.argv[1])
from tf_serve.score.engines import worker
real = worker.read
def read(place):
    data = real(place)
    word, _, where = data.partition(b" ")
    if word == b"DIES":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == b"EXITS":
        os._exit(3)
    if word == b"HANGS":
        time.sleep(1000)
    if word == b"DIES-ONCE":
        if not os.path.exists(where):
            open(where, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return open(where + b".film", "rb").read()
    return data
worker.read = read
worker.run(*sys.argv[2:])
"""


@pytest.fixture
def run(make_bundle, tmp_path, monkeypatch):
    """Return a function that scores in this process, with workers that poisoned films can end."""
    monkeypatch.setattr(local, "MAIN", POISONED)
    place = make_bundle()

    def scored(films, out="results", **options):
        options = {"workers": 2, "shard_films": 10, "film_timeout_s": 30.0, **options}
        config = ScoreConfig(bundle=options.pop("bundle", place), films=str(films), out=tmp_path / out, **options)
        return run_score(config, reporter=Silence())

    return scored


def poison(films, name, data):
    place = films / "ward-1" / name
    place.write_bytes(data)
    return place.relative_to(films).as_posix()


def test_films_that_end_or_stop_their_process_are_quarantined_and_all_others_answered(run, films, rows_of, tmp_path):
    ends = {
        poison(films, "patient-04a.png", b"DIES x"): "it ended the process that read it (signal 11, SIGSEGV), 2 times",
        poison(films, "patient-04b.png", b"EXITS x"): "it ended the process that read it (status 3), 2 times",
        poison(films, "patient-13a.png", b"HANGS x"): "it took more than 2 s, 2 times",
    }
    summary = run(films, film_timeout_s=2.0)
    rows = {row.film: row for row in rows_of(tmp_path / "results")}
    assert {film: rows[film].reason for film in ends} == ends
    assert {row.status for film, row in rows.items() if film not in ends} == {"answered"}
    assert (summary.films, summary.quarantined, len(rows)) == (27, 3, 27)
    lines = [json.loads(line) for line in (tmp_path / "results/quarantine.jsonl").read_text().splitlines()]
    assert lines == [{"film": film, "film_sha256": None, "reason": ends[film]} for film in sorted(ends)]


def test_a_film_whose_process_was_ended_by_something_else_is_answered_the_second_time(run, films, rows_of, tmp_path):
    flag = tmp_path / "died"
    shutil.copy(films / "ward-0/patient-00.png", f"{flag}.film")
    film = poison(films, "once.png", b"DIES-ONCE " + os.fsencode(flag))
    summary = run(films)
    assert flag.exists()
    assert (summary.quarantined, {row.film: row.status for row in rows_of(tmp_path / "results")}[film]) == (
        0,
        "answered",
    )


def test_poison_does_not_change_the_bytes_of_the_results_from_run_to_run(run, films, bytes_of, tmp_path):
    poison(films, "patient-04a.png", b"DIES x")
    poison(films, "patient-04b.png", b"")
    run(films, "one", workers=1)
    run(films, "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_what_is_damaged_is_quarantined_and_what_is_no_film_is_left_out(score, make_bundle, films, rows_of, tmp_path):
    whole = (films / "ward-0/patient-00.png").read_bytes()
    damaged = {
        "doe-1.png": whole[: len(whole) // 2],
        "doe-2.png": b"",
        "doe-3.dcm": b"no film",
        "doe-4.jpg": b"\xff\xd8\xff\xe0",
    }
    others = {"report.pdf": b"%PDF-1.4", "notes.txt": b"left lung", "labels.csv": b"film,label\n"}
    for name, data in {**damaged, **others}.items():
        (films / name).write_bytes(data)
    (films / "gone.png").symlink_to(films / "nowhere.png")
    out = tmp_path / "results"
    done = score(make_bundle(), films, out)
    assert done.returncode == 1  # as predict ends where a film is unreadable
    assert "4 quarantined, 3 no film" in done.stdout
    assert "1 file left out by their place: a link that leads nowhere 1" in done.stdout
    found = {row.film: row for row in rows_of(out)}
    assert {name: found[name].status for name in damaged} == dict.fromkeys(damaged, "quarantined")
    assert {name: found[name].status for name in others} == dict.fromkeys(others, "left_out")
    assert found["report.pdf"].reason == "a PDF"
    for name in damaged:
        assert found[name].film_sha256
        assert found[name].reason
        assert "doe" not in found[name].reason


def test_a_film_that_makes_the_network_give_nan_is_quarantined_and_a_broken_network_ends_the_run(
    run, make_bundle, networks, films, draw_film, as_png, rows_of, tmp_path
):
    odd = make_bundle("odd", sources={"model_float32.tflite": networks / "nan_float32.tflite"})
    pixels = draw_film(3, 224, 224)
    pixels[0, 0] = 7
    film = poison(films, "nan.png", as_png(pixels))
    summary = run(films, bundle=odd, artefact="model_float32.tflite")
    [row] = [row for row in rows_of(tmp_path / "results") if row.status == "quarantined"]
    assert (summary.quarantined, row.film) == (1, film)
    assert "returned an invalid output" in row.reason
    assert row.film_sha256


def test_most_films_unread_ends_the_run_and_nothing_is_recorded_of_them(run, films, rows_of, tmp_path):
    table = tmp_path / "table.csv"
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(films.rglob("*.png"))]
    table.write_text("film\n" + "".join(f"{name}\n" for name in [*names, *(f"films/gone-{n}.png" for n in range(40))]))
    with pytest.raises(DataError, match="films in a row cannot be read") as caught:
        run(table, shard_films=100)
    assert "No such file or directory" in caught.value.why
    for number in range(40):  # as its `fix:` says
        shutil.copy(films / "ward-0/patient-00.png", films / f"gone-{number}.png")
    assert run(table, shard_films=100).quarantined == 0
    assert len(rows_of(tmp_path / "results")) == len(names) + 40


def test_places_of_a_table_that_are_no_files_are_quarantined_one_by_one(run, films, rows_of, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    none = dict.fromkeys(("films", "pipe.png", "/dev/zero"), "it is no regular file")
    odd = none | {"gone.png": "No such file or directory", "x" * 300: "File name too long"}
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(films.rglob("*.png"))]
    with (tmp_path / "table.csv").open("w") as file:
        file.write("film\n" + "".join(f'"{name}"\n' for name in [*names, *odd]))
    assert run(tmp_path / "table.csv", shard_films=100).quarantined == len(odd)
    found = {row.film: row.reason for row in rows_of(tmp_path / "results") if row.status == "quarantined"}
    for name, why in odd.items():
        assert found[name].startswith(f"it cannot be read ({why}")


def test_names_that_are_no_text_end_nothing(run, films, rows_of, tmp_path):
    place = films / os.fsdecode(b"na\xefve.png")
    shutil.copy(films / "ward-0/patient-00.png", place)
    summary = run(films, csv=True)
    assert summary.statuses["answered"] == 25
    assert "na\\xefve.png" in {row.film for row in rows_of(tmp_path / "results")}


def test_a_bundle_that_changes_under_a_run_ends_it(run, make_bundle, films, tmp_path, monkeypatch):
    place = make_bundle("changing")
    real = local.LocalEngine.score

    def score_later(self, job):
        (place / "manifest.json").write_text((place / "manifest.json").read_text() + " ")
        return real(self, job)

    monkeypatch.setattr(local.LocalEngine, "score", score_later)
    with pytest.raises(BundleError, match="is not the bundle that it was"):
        run(films, bundle=place)


def test_workers_that_cannot_start_end_the_run_with_an_error(run, films, monkeypatch):
    monkeypatch.setattr(local, "MAIN", "import os; os._exit(9)")
    with pytest.raises(SetupError, match=r"a worker ended \(status 9\) before it answered a film, 3 times"):
        run(films)


def test_nothing_of_a_patient_is_in_pseudonymised_results_nor_in_what_is_printed(
    score, make_bundle, films, films_key, as_png, draw_film, rows_of, tmp_path
):
    import tarfile
    import zipfile

    secret = "DoeJane1971"
    (films / f"{secret}.png").write_bytes(as_png(draw_film(5)))
    (films / f"{secret}-cut.png").write_bytes((films / f"{secret}.png").read_bytes()[:500])
    (films / f"{secret}.pdf").write_bytes(b"%PDF")
    with zipfile.ZipFile(films / f"{secret}.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.write(films / f"{secret}.png", f"{secret}/bad.png")
    data = bytearray((films / f"{secret}.zip").read_bytes())
    data[200:220] = bytes(20)
    (films / f"{secret}.zip").write_bytes(data)
    with tarfile.open(films / f"{secret}.tar", "w") as archive:
        archive.add(films / f"{secret}.png", f"{secret}/good.png")
    out, key = tmp_path / "results", films_key("one")
    done = score(make_bundle(), films, out, "--pseudonymise", str(key), "--csv", "--json", "-v")
    assert done.returncode == 1
    rows = rows_of(out)
    assert len(rows) == 24 + 5
    assert {row.film for row in rows} >= {Pseudonyms.read(str(key)).of(f"{secret}.png")}
    assert sum(row.status == "quarantined" for row in rows) == 2
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(written) >= 6
    for said in (done.stdout.encode(), done.stderr.encode(), *written.values()):
        for word in (secret, "patient-", "ward-", key.read_text().strip()):
            assert word.encode() not in said
    for row in rows:
        assert not any(secret in str(cell) or "patient-" in str(cell) for cell in row)


def test_without_pseudonyms_ids_are_in_results_and_not_in_what_is_printed(score, make_bundle, films, tmp_path):
    (films / "DoeJane1971.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = score(make_bundle(), films, tmp_path / "results", "-v")
    assert done.returncode == 1
    assert "DoeJane1971" not in done.stdout + done.stderr
    assert "DoeJane1971" in (tmp_path / "results/quarantine.jsonl").read_text()
