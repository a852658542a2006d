#!/usr/bin/env python3
"""What becomes of speech in the codec and in the mixer: the tables of docs/performance.md.

    make quality        (needs espeak-ng, sox, and a C compiler for PyPI's pesq; Chromium and Node for its last table)

One part of it: quality.py TOOL codec|chain|delay|browser

PESQ wide-band (ITU-T P.862.2) compares 16 kHz speech with its source: 4.64 is the same, 1 is noise. Every number is the
mean over the voices, and over the seeds where packets get lost.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
from pesq import pesq

TEXT = (
    "The harbour wakes before the town does. Somebody counts the boats, somebody else counts the clouds. "
    "By seven the first lorry has left with ice and silver fish, and the market smells of rope, coffee and rain. "
    "Nobody hurries; the sea has never been late."
)
VOICES = ["en-gb", "en-us+f3", "en-gb+m7"]
SEEDS = [1, 2, 3]

# The delay between two signals is searched for in this range: both codecs and the jitter buffer.
MOST_DELAY_MS = 400


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def speech(folder):
    """For each voice: raw 48 kHz for the tool, and 16 kHz for PESQ. At the level of speech in a call."""
    made = []
    for number, voice in enumerate(VOICES):
        wav, raw, narrow = (folder / f"{number}.{kind}" for kind in ("wav", "raw", "narrow"))
        run("espeak-ng", "-v", voice, "-s", 160, "-w", wav, TEXT)
        shape = ["-t", "raw", "-b", 16, "-e", "signed", "-c", 1]
        run("sox", wav, "-r", 48000, *shape, raw, "gain", "-n", -6, "pad", 0.5, 0.5)
        made.append(raw)
        narrowed(raw, narrow)
    return made


def narrowed(raw, to):
    shape = ["-t", "raw", "-b", 16, "-e", "signed", "-c", 1]
    run("sox", "-r", 48000, *shape, raw, "-r", 16000, *shape, to)
    return numpy.fromfile(to, dtype="<i2").astype(numpy.float64)


def score(source, heard, folder):
    """PESQ of what was heard, two raw files, shifted to where it fits the source best."""
    return fitted(narrowed(source, folder / "a"), narrowed(heard, folder / "b"))


def lag(a, b, most):
    """How many samples `b` is later than `a`, `most` at most."""
    size = 1 << (max(len(a), len(b)) + most).bit_length()
    match = numpy.fft.irfft(numpy.fft.rfft(b, size) * numpy.conj(numpy.fft.rfft(a, size)))
    return int(numpy.argmax(match[:most]))


def fitted(a, b):
    b = b[lag(a, b, MOST_DELAY_MS * 16) :]
    length = min(len(a), len(b))
    return pesq(16000, a[:length].astype(numpy.int16), b[:length].astype(numpy.int16), "wb")


def fields(text):
    return {key: float(value) for key, value in (word.split("=") for word in text.split())}


def codec(tool, voices, folder):
    print("\n| application | complexity | kb/s asked | kb/s made | hybrid frames | encode us | decode us | PESQ |")
    print("|---|---|---|---|---|---|---|---|")
    for application, complexities in [("lowdelay", [4, 5, 6, 8, 10]), ("voip", [4, 5, 8, 10]), ("audio", [5, 10])]:
        for complexity in complexities:
            for bitrate in [32000, 40000, 48000, 64000]:
                rows, scores = [], []
                for voice in voices:
                    heard = folder / "heard"
                    options = [f"application={application}", f"complexity={complexity}", f"bitrate={bitrate}"]
                    rows.append(fields(run(tool, "codec", voice, heard, *options)))
                    scores.append(score(voice, heard, folder))
                # Of times the least, which other work on the machine disturbs least.
                mean = {key: (min if key.endswith("_us") else numpy.mean)([row[key] for row in rows]) for key in rows[0]}
                print(
                    f"| {application} | {complexity} | {bitrate // 1000} | {mean['kbps']:.1f} | {mean['hybrid']:.0%} "
                    f"| {mean['encode_us']:.0f} | {mean['decode_us']:.0f} | {numpy.mean(scores):.2f} |",
                    flush=True,
                )


NETWORKS = [
    ("none", {"loss": 0}),
    ("5 % random", {"loss": 0.05}),
    ("15 % random", {"loss": 0.15}),
    ("5 %, bursts of 60 ms", {"loss": 0.05, "burst": 3}),
    ("15 %, bursts of 60 ms", {"loss": 0.15, "burst": 3}),
]
REDUNDANCY = [
    ("no copies", {}),
    ("1 copy, 20 ms", {"copies": 1}),
    ("2 copies, 20 and 40 ms", {"copies": 2}),
    ("2 copies, 40 and 80 ms (Chime SDK)", {"copies": 2, "apart": 2}),
]


def words(*options):
    return [f"{key}={value}" for option in options for key, value in option.items()]


def chain(tool, voices, folder):
    print("\n| loss | " + " | ".join(name for name, _ in REDUNDANCY) + " |")
    print("|---" * (len(REDUNDANCY) + 1) + "|")
    for name, network in NETWORKS:
        row = []
        for _, redundancy in REDUNDANCY:
            scores = []
            for voice in voices:
                for seed in SEEDS if network["loss"] else SEEDS[:1]:
                    heard = folder / "heard"
                    run(tool, "chain", voice, heard, *words(network, redundancy, {"seed": seed}))
                    scores.append(score(voice, heard, folder))
            row.append(f"{numpy.mean(scores):.2f}")
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)
    # The uplink's encoder without the mixer: what the mixer may not be better than.
    alone = []
    for voice in voices:
        heard = folder / "heard"
        run(tool, "codec", voice, heard, "application=voip", "complexity=9", "bitrate=32000")
        alone.append(score(voice, heard, folder))
    print(f"\nThe codec of the uplink alone: {numpy.mean(alone):.2f}")


def delay(tool):
    print("\n| network | total p50 | total p99 | next tick p50 | jitter buffer p50 | jitter buffer p99 | codecs |")
    print("|---|---|---|---|---|---|---|")
    cases = [
        ("clean", {}),
        ("jitter 30 ms", {"jitter": 30}),
        ("jitter 100 ms", {"jitter": 100}),
        ("5 % loss", {"loss": 0.05}),
        ("5 % loss, 2 copies, 40 and 80 ms", {"loss": 0.05, "copies": 2, "apart": 2}),
    ]
    for name, network in cases:
        row = fields(run(tool, "delay", *words(network)).splitlines()[0])
        print(
            f"| {name} | {row['total_p50']:.1f} | {row['total_p99']:.1f} | {row['tick_p50']:.1f} "
            f"| {row['buffer_p50']:.1f} | {row['buffer_p99']:.1f} | {row['codecs']:.1f} |",
            flush=True,
        )


BROWSER_NETWORKS = {
    "none": "none",
    "5-random": "5 % random, talker's way",
    "15-random": "15 % random, talker's way",
    "5-bursts": "5 %, bursts of 60 ms, talker's way",
    "15-bursts": "15 %, bursts of 60 ms, talker's way",
    "15-down": "15 % random, listener's way",
}
# Real time on a machine that may have other things to do: of so many rounds the median counts.
ROUNDS = 3
# Chromium opens its microphone a while before its track is sent.
LEAD_S = 2


def browser(tool, voices, folder):
    """Chromium to Chromium. All voices are played one after the other in one recording."""
    whole = folder / "whole.wav"
    shape = ["-t", "raw", "-r", 48000, "-b", 16, "-e", "signed", "-c", 1]
    sources = [part for voice in voices for part in [*shape, voice]]
    run("sox", *sources, whole, "pad", LEAD_S, 0)
    narrow = [narrowed(voice, folder / "a") for voice in voices]
    alone = []
    for voice in voices:
        coded = folder / "coded"
        run(tool, "codec", voice, coded, "application=voip", "complexity=9", "bitrate=32000")
        alone.append(narrowed(coded, folder / "b"))
    rounds = []
    for number in range(1, ROUNDS + 1):
        script = pathlib.Path(__file__).with_name("browser.mjs")
        subprocess.run(["node", str(script), str(whole), str(folder), str(number)], check=True)
        scores = {name: heard_by_browser(folder / f"{name}.raw", narrow, alone, folder) for name in BROWSER_NETWORKS}
        rounds.append(scores)
        told = ", ".join(f"{name} {source:.2f} {codec:.2f}" for name, (source, codec) in scores.items())
        print(f"round {number}: {told}", file=sys.stderr, flush=True)
    print("\n| lost | against the source | least and most | against the codec alone |")
    print("|---|---|---|---|")
    for name, title in BROWSER_NETWORKS.items():
        source, codec = zip(*(scores[name] for scores in rounds))
        print(
            f"| {title} | {numpy.median(source):.2f} | {min(source):.2f} to {max(source):.2f} | {numpy.median(codec):.2f} |",
            flush=True,
        )
    scores = [fitted(source, coded) for source, coded in zip(narrow, alone)]
    print(f"\nThe codec of the uplink alone: {numpy.mean(scores):.2f}")


def heard_by_browser(raw, sources, alone, folder):
    """The mean scores of one recording: against the source, and against what the codec alone makes of it."""
    heard = narrowed(raw, folder / "heard")
    whole = numpy.concatenate(sources)
    begin = lag(whole, heard, len(heard))
    # A jitter buffer that grows moves what comes later: each voice is looked for again around where it should be.
    slack = MOST_DELAY_MS * 16 // 2
    scores = []
    for number, (source, coded) in enumerate(zip(sources, alone)):
        at = begin + sum(len(one) for one in sources[:number])
        part = heard[max(0, at - slack) : at + len(source) + slack]
        scores.append((fitted(source, part), fitted(coded, part)))
    return tuple(numpy.mean(scores, axis=0))


def main():
    tool = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        voices = speech(folder)
        for part in sys.argv[2:] or ["codec", "chain", "delay", "browser"]:
            if part == "codec":
                codec(tool, voices, folder)
            elif part == "chain":
                chain(tool, voices, folder)
            elif part == "browser":
                browser(tool, voices, folder)
            else:
                delay(tool)


main()
