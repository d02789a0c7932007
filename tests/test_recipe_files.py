import pytest

from lavseg.recipe_files import SHIPPED, Recipe, load_recipe, parse_settings, shipped_recipes, with_settings

TABLES = """
paper: A paper
protocol: frame
variants:
  table1_deep: {base: plain, set: {model.depth.first: 12, seed: 3}, table: 1, row: deep}
  table1_baseless: {row: nothing}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tables.yaml").write_text(TABLES)
    recipe = (
        "method: m\nseed: 1\nmodel: {depth: {first: 6, last: 6}, width: 8}\nreproduces: {row: plain, left_open: much}"
    )
    (tmp_path / "plain.yaml").write_text(recipe)
    return tmp_path


def test_a_variant_is_its_base_with_other_settings(folder):
    recipe = load_recipe(f"{folder / 'tables.yaml'}:table1_deep")
    assert recipe.keys == {"method": "m", "seed": 3, "model": {"depth": {"first": 12, "last": 6}, "width": 8}}
    reproduces = {"paper": "A paper", "protocol": "frame", "table": 1, "row": "deep", "left_open": "much"}
    assert recipe.reproduces == reproduces
    plain = load_recipe(str(folder / "plain.yaml"))
    assert plain.keys["model"]["depth"] == {"first": 6, "last": 6} and plain.reproduces["row"] == "plain"


def test_a_recipe_may_change_another_and_reproduces_only_what_it_says(folder):
    (folder / "wide.yaml").write_text("base: plain\nset: {model.width: 16}")
    recipe = load_recipe(str(folder / "wide.yaml"))
    assert recipe.keys == {"method": "m", "seed": 1, "model": {"depth": {"first": 6, "last": 6}, "width": 16}}
    assert recipe.reproduces == {}
    shipped = next(recipe for recipe in shipped_recipes() if recipe.name == "sam2_love_plus")
    assert shipped == load_recipe("sam2_love_plus") and shipped.keys["model"]["key_frame"] == "best"


@pytest.mark.parametrize(
    "name, text, key, beside",
    [
        ("wide.yaml", "base: plain\nset: {model.width: 16}\nlearning_rate: 3", "learning_rate", "base"),
        ("rows.yaml:deep", "variants:\n  deep: {base: plain, set: {seed: 3}, model: {width: 16}}", "model", "base"),
        ("rows.yaml:deep", "seed: 3\nvariants:\n  deep: {base: plain}", "seed", "variants"),
    ],
)
def test_what_would_not_be_read_is_refused(folder, name, text, key, beside):
    (folder / name.partition(":")[0]).write_text(text)
    with pytest.raises(ValueError) as error:
        load_recipe(str(folder / name))
    where = folder / (name if beside == "base" else name.partition(":")[0])
    place = "`set`" if beside == "base" else "`set` of a variant"
    assert str(error.value) == f"{where}: {key!r} beside `{beside}` would not be read; put it under {place}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: [plain]", "`base` has to be the name of a recipe, got ['plain']"),
        ("base: plain\nset: 5", "`set` has to be lines of a name and what it stands for, got 5"),
        ("variants: [x]", "`variants` has to be lines of a name and what it stands for, got ['x']"),
        ("variants: {deep: 5}", "a recipe holds 'argument: value' lines"),
        ("base: other", "changes itself, by way of the recipe under `base`"),
    ],
)
def test_what_cannot_be_followed_is_refused(folder, text, told):
    (folder / "own.yaml").write_text(text)
    (folder / "other.yaml").write_text("base: own")
    with pytest.raises(ValueError) as error:
        load_recipe(f"{folder / 'own.yaml'}{':deep' if 'deep' in text else ''}")
    assert str(error.value).endswith(told)


def test_a_recipe_with_the_name_of_one_of_the_package_may_change_that_one(folder):
    (folder / "sam2_love.yaml").write_text("base: sam2_love\nset: {seed: 5}")
    recipe = load_recipe(str(folder / "sam2_love.yaml"))
    assert recipe.keys == load_recipe("sam2_love").keys | {"seed": 5}


def test_recipes_of_the_package_go_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("sam2_love")
    assert recipe.keys["method"] == "sam2-love"
    assert recipe == Recipe("sam2_love", load_recipe(str(SHIPPED / "sam2_love.yaml")).keys, recipe.reproduces)
    (tmp_path / "sam2_love").write_text("seed: 3")
    assert load_recipe("sam2_love").keys == {"seed": 3}  # a file of one's own comes first


def test_all_that_are_listed_are_found():
    found = shipped_recipes()
    assert len(found) == len({recipe.name for recipe in found}) and all("method" in recipe.keys for recipe in found)
    assert found[0] == load_recipe(found[0].name) and found[-1] == load_recipe(found[-1].name)


@pytest.mark.parametrize(
    "given, message",
    [
        ("sam2_lov", "recipe: 'sam2_lov' is neither a file nor a recipe of the package; did you mean 'sam2_love'?"),
        ("{folder}/plain.yaml:deep", "plain.yaml has no variants, 'deep' was asked for"),
        ("{folder}/tables.yaml", "tables.yaml: name one of its variants, which are table1_deep, table1_baseless"),
        (
            "{folder}/tables.yaml:table1_dep",
            "'table1_dep' is none of its variants, which are table1_deep, table1_baseless; did you mean 'table1_deep'?",
        ),
        ("{folder}/tables.yaml:table1_baseless", "has no `base`"),
    ],
)
def test_what_there_is_not(folder, given, message):
    with pytest.raises(ValueError) as error:
        load_recipe(given.format(folder=folder))
    assert message in str(error.value)


def test_values_are_read_as_json_or_yaml():
    given = ["a.b=1e-4", "c=[1, 2]", "d=none", "e=true", "f={g: x}", "lr-rate=x=y", "h="]
    expected = {"a.b": 1e-4, "c": [1, 2], "d": "none", "e": True, "f": {"g": "x"}, "lr_rate": "x=y", "h": None}
    assert parse_settings(given) == expected
    for wrong, message in (("a", "takes KEY=VALUE"), ("=3", "takes KEY=VALUE"), ("a=[1", "not readable as YAML")):
        with pytest.raises(ValueError, match=message):
            parse_settings([wrong])


def test_settings_leave_what_they_change_as_it_was():
    keys = {"model": {"depth": 1}, "seed": None}
    assert with_settings(keys, {"model.width": 2, "seed.x": 3}) == {"model": {"depth": 1, "width": 2}, "seed": {"x": 3}}
    assert keys == {"model": {"depth": 1}, "seed": None}
    with pytest.raises(ValueError, match=r"set: model.depth.x leads into depth, which is 1 and has no fields"):
        with_settings(keys, {"model.depth.x": 3})
