"""What sentences about the band mean, read from their words alone and looked up in what the objects do."""

import re
from dataclasses import dataclass

import numpy as np

INSTRUMENTS = ("guitar", "violin", "trumpet", "drum", "keyboard", "flute", "bell", "saxophone", "accordion")
ANIMALS = ("dog", "bird")
NAMES = (*INSTRUMENTS, *ANIMALS, "car")
# Each phrase with what it says; the first that is found counts.
SAID = {
    "place": {
        r"\bon the left( side)?\b|\bin the left half of the picture\b|^the left ": "left",
        r"\bon the right( side)?\b|\bin the right half of the picture\b|^the right ": "right",
    },
    "motion": {
        r"\bthat moves (to the )?left\b": "left",
        r"\bthat moves (to the )?right\b": "right",
        r"\bthat moves up(wards)?\b": "up",
        r"\bthat moves down(wards)?\b": "down",
        r"\bthat stays (in place|where it is)\b": "still",
        r"\bthat (comes in late|comes into the picture later|is not there at first)\b": "enters",
        r"\bthat (leaves( the picture)?|goes away)\b": "leaves",
    },
    "compared": {
        r"\byou hear first\b|\bthat starts first\b|\bfirst\b(?=.* you hear$)": "first",
        r"\bthat starts last\b|\blast\b(?=.* to start$)|\bthat joins in last\b": "last",
        r"\bthat (falls silent|stops making a sound|goes quiet|stops playing)\b": "stops",
        r"\b(that is (the )?)?(louder|loudest)\b( of the two\b)?": "louder",
        r"\b(that is (the )?)?(quieter|quietest)\b( of the two\b)?": "softer",
    },
    "heard": {
        r"\b(that|and) makes no sound\b|\bthat you cannot hear\b|\band cannot be heard\b|\bthat stays silent\b": False,
        r"^the silent\b|\bthat is not playing\b": False,
        r"\bmaking a sound\b|\b(that|and) makes a sound\b|\bthat you (can )?hear\b|\b(that|and) can be heard\b": True,
        r"\bthat is playing\b": True,
    },
}
FILLING = r"\b(the|an?|in the picture|in the video|you hear|to start)\b"


@dataclass
class Meaning:
    """What a sentence says; `noun` is the word for the object."""

    noun: str
    place: str | None = None
    motion: str | None = None
    compared: str | None = None
    heard: bool | None = None

    @property
    def name(self):
        return self.noun if self.noun in NAMES else None

    def fitting(self, objects):
        """Indices of the objects that fit."""
        sounding = [i for i, item in enumerate(objects) if any(item.seconds) and self.name in (None, item.category)]
        return [
            i
            for i, item in enumerate(objects)
            if self.name in (None, item.category)
            and (self.place is None or is_at(item, self.place))
            and (self.motion is None or does(item, self.motion))
            and (self.heard is None or self.heard == any(item.seconds))
            and (self.compared is None or stands_out(i, sounding, objects, self.compared))
        ]


def read(text):
    """The meaning of a sentence, of which every word has to be understood."""
    rest, said = text, {}
    for about, phrases in SAID.items():
        for phrase, value in phrases.items():
            if re.search(phrase, rest):
                rest, said[about] = re.sub(phrase, " ", rest, count=1), value
                break
    noun = re.sub(FILLING, " ", rest).strip()
    if said.get("compared") and noun.endswith("s"):
        noun = noun.removesuffix("s")
    assert noun in (*NAMES, "one", "object", "instrument", "animal"), f"{text!r} leaves {noun!r}"
    return Meaning(noun, **said)


def in_view(item):
    """The frames in which any of it can be seen, bool `[T]`."""
    return np.all((item.centers > -item.size / 2) & (item.centers < 1 + item.size / 2), axis=1)


def is_at(item, place):
    x = item.centers[in_view(item), 1]
    return bool(np.all(x < 0.45) if place == "left" else np.all(x > 0.55)) and len(x) > 0


def does(item, motion):
    seen, (down, right) = in_view(item), item.centers[-1] - item.centers[0]
    if motion in ("enters", "leaves"):
        return bool(seen[0] < seen[-1] if motion == "enters" else seen[0] > seen[-1])
    if motion == "still":
        return bool(np.ptp(item.centers, axis=0).max() < 1e-6)
    along, across = {"left": (-right, down), "right": (right, down), "up": (-down, right), "down": (down, right)}[
        motion
    ]
    return bool(seen.all() and along > 0.2 and abs(across) < 0.05)


def stands_out(index, sounding, objects, compared):
    """Whether one of those that sound (there have to be others) does what none of the others does."""
    others = [objects[i] for i in sounding if i != index]
    if index not in sounding or not others:
        return False
    item = objects[index]

    def first(one):
        return list(one.seconds).index(True)

    def stops(one):
        runs = "".join("x" if second else "." for second in one.seconds)
        return "x." in runs

    if compared == "stops":
        return stops(item) and not item.seconds[-1] and not any(map(stops, others))
    if compared in ("first", "last"):
        return all(first(item) < first(one) if compared == "first" else first(item) > first(one) for one in others)
    ratios = [item.level / one.level for one in others]
    return all(ratio >= 10**0.4 - 1e-9 if compared == "louder" else ratio <= 10**-0.4 + 1e-9 for ratio in ratios)
