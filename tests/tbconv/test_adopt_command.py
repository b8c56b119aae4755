from PIL import Image


def test_a_checkpoint_that_is_not_there_is_a_stated_error(tbconv, tmp_path):
    for name in ("Normal", "Tuberculosis"):
        (tmp_path / "films" / name).mkdir(parents=True)
        Image.new("L", (300, 300), 90).save(tmp_path / "films" / name / f"{name}.png")
    words = ("adopt", tmp_path / "no.pt", "--arch", "resnet18", "--data", tmp_path / "films")
    done = tbconv(*words, "--out", tmp_path / "run")
    what, why, fix = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert "no.pt" in what
    assert "there is no such file" in why
    assert fix
    assert not (tmp_path / "run").exists()


def test_a_list_of_numbers_that_is_none_is_a_stated_error(tbconv, tmp_path):
    words = ("--data", tmp_path, "--out", tmp_path / "run", "--mean", "0.5;0.5", "--std", "0.2")
    done = tbconv("adopt", tmp_path / "no.pt", "--arch", "resnet18", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --mean is '0.5;0.5'")


def test_a_network_without_an_exact_map_is_sent_to_the_other_road(tbconv, tmp_path):
    done = tbconv("adopt", tmp_path / "no.pt", "--arch", "vgg16_bn", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "tbconv convert MODEL.onnx --calibration DIR" in done.stderr
