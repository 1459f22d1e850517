"""Invalid transforms and domains: one sentence, exit code 2, nothing written."""

import numpy as np
import pytest
from bad_input import INFO, TRAIN, case, changed, refused, with_values

PLOT = "plot --out new.png"


def with_mask(values, name="wet"):
    return changed(lambda sea: sea.assign({name: (("lat", "lon"), values(sea).values.astype("i1"))}))


def all_of(value):
    return with_mask(lambda sea: 0 * sea.sst[0].fillna(0) + value)


def as_wind(**attrs):
    def change(sea):
        sea["sst"].attrs = {"units": "degree", "standard_name": "wind_from_direction"} | attrs
        return sea

    return change


CASES = [
    *(
        case(f"transform-{name}", f"{TRAIN} sst.nc --transform {text}", *words)
        for name, text, *words in (
            ("no-bounds", "bounded", "needs two bounds", "bounded:0,1"),
            ("one-bound", "bounded:0", "needs two bounds", "bounded:0,inf"),
            ("three-bounds", "bounded:0,1,2", "must be one of", "'2'"),
            ("turned-bounds", "bounded:1,0", "a finite bound and a larger one"),
            ("equal-bounds", "bounded:1,1", "a finite bound and a larger one"),
            ("no-finite-bound", "bounded:-inf,inf", "a finite bound"),
            ("bound-nan", "bounded:nan,1", "a finite bound"),
            ("bound-no-number", "bounded:zero,one", "needs two bounds"),
            ("bounds-with-dots", "bounded:0..1", "needs two bounds"),
            ("bound-and-log", "bounded:0,log", "needs two bounds"),
            ("too-many", "bounded:0,50,log", "transform names 2 bands, the field has 1"),
            ("log-with-numbers", "log:10", "must be one of", "circular"),
            ("empty", ",", "must be one of"),
            ("misspelt", "circle", "must be one of", "'circle'"),
            ("half-a-direction", "sine:0,360", "one half of a direction", "circular"),
            ("turned-circle", "circular:360,0", "ends of a full turn"),
            ("circle-of-three", "circular:0,360,1", "must be one of"),
            ("circle-no-number", "circular:north", "ends of a full turn"),
            ("circle-of-degrees-celsius", "circular", "directions in degrees or radians", "degree_Celsius"),
            ("values-outside", "bounded:0,1", "needs values from 0 to 1", "sst", "goes from"),
            ("values-below", "bounded:100,inf", "needs values from 100 to inf", "sst"),
        )
    ),
    case("no-directions", f"{TRAIN} bad.nc", "needs directions from -720 to 720", "-9999",
         make=changed(lambda sea: as_wind()(sea.assign(sst=sea.sst.where(~(sea.sst < 15), -9999))))),
    case("log-in-place-of-a-direction", f"{TRAIN} bad.nc --transform log", "log needs positive values",
         make=changed(lambda sea: as_wind()(sea.assign(sst=sea.sst - 15)))),
    *(
        case(f"domain-{verb}-{name}", f"{line} {data} --domain {text}", *words, make=make)
        for verb, line in (("train", f"{TRAIN}"), ("info", INFO), ("plot", PLOT))
        for name, data, text, words, make in (
            ("unknown", "sst.nc", "lake", ("'lake'",), lambda: None),
            ("not-unknown", "sst.nc", "not:lake", ("'lake'",), lambda: None),
            ("no-land", "sst.nc", "land", ("no cell of sst lies on land", "no variable 'land'"), lambda: None),
            ("no-places", "bad.nc", "sea", ("needs latitudes and longitudes", "sst"),
             changed(lambda sea: sea.drop_vars(["lat", "lon"]))),
            ("all-land", "bad.nc", "wet", ("is 0 everywhere", "not:wet"), all_of(0)),
            ("all-sea", "bad.nc", "not:wet", ("is 1 everywhere",), all_of(1)),
            ("flags", "bad.nc", "wet", ("values other than 1",), all_of(2)),
        )
    ),
    case("domain-of-a-run", f"{INFO} model --domain sea", "is a run, which records", "leave domain out"),
    case("nothing-in-the-domain", f"{TRAIN} bad.nc --domain wet", "no value inside the domain",
         make=with_mask(lambda sea: sea.sst.isnull().all("time"))),
    case("log-beside-bounds", f"{TRAIN} bad.nc --transform bounded:0,90", "needs values from 0 to 90",
         make=with_values(lambda values: np.where(values > 16, 200.0, values))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)
