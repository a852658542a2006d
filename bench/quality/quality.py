#!/usr/bin/env python3
"""What becomes of speech in the codec and in the mixer: the tables of docs/performance.md.

    make quality        (needs espeak-ng, sox, and a C compiler for PyPI's pesq)

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
    """PESQ of what was heard, shifted to where it fits the source best."""
    a = narrowed(source, folder / "a")
    b = narrowed(heard, folder / "b")
    most = MOST_DELAY_MS * 16
    size = 1 << (len(a) + most).bit_length()
    match = numpy.fft.irfft(numpy.fft.rfft(b, size) * numpy.conj(numpy.fft.rfft(a, size)))
    delay = int(numpy.argmax(match[:most]))
    b = b[delay:]
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


def main():
    tool = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        voices = speech(folder)
        for part in sys.argv[2:] or ["codec", "chain", "delay"]:
            if part == "codec":
                codec(tool, voices, folder)
            elif part == "chain":
                chain(tool, voices, folder)
            else:
                delay(tool)


main()
