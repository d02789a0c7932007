from tiny import kept_stages


def test_stages_that_are_done_are_not_run_again_and_cut_off_ones_begin_anew(tmp_path, capsys):
    done, cut_off, new = (tmp_path / name for name in ("done", "cut_off", "runs/new"))
    for folder, name in ((done, kept_stages.LOG), (cut_off, "half of it")):
        folder.mkdir()
        (folder / name).touch()
    ran = []
    kept_stages.run_stages(dict.fromkeys((done, cut_off, new), lambda folder: ran.append([folder, *folder.iterdir()])))
    assert ran == [[cut_off], [new]]
    assert capsys.readouterr().out.count("is there already") == 1


def test_a_tree_is_written_once_and_anew_where_it_was_cut_off(tmp_path, monkeypatch):
    written = []

    def write(folder, counts, seed):
        written.append((folder.exists(), counts, seed))
        folder.mkdir()
        (folder / "kinds.csv").touch()

    monkeypatch.setattr(kept_stages, "write_ref_avs", write)
    (tmp_path / "data").mkdir()
    for _ in range(2):
        kept_stages.keep_ref_avs(tmp_path / "data", {"train": 1}, 3)
    assert written == [(False, {"train": 1}, 3)]
