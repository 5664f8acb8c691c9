"""Answers of a made-up crowd: testdata/crowd/answers.csv and truth.csv. No real people; Python's own generator, version 3.

400 questions of three classes (half, three tenths, a fifth), 24 people who each answer a part of them: twelve are mostly right, seven take
one class for another, three guess, two answer the opposite of what they should.
"""

import csv
import pathlib
import random

CLASSES = ["cat", "dog", "fox"]
SHARES = [0.5, 0.3, 0.2]
out = pathlib.Path(__file__).parent.parent / "crowd"
chance = random.Random(20261128)


def person(number):
    """How often somebody answers, and for each truth how likely each answer is."""
    part = chance.uniform(0.15, 0.45)
    if number < 12:
        right = chance.uniform(0.72, 0.9)
        rows = [[right if k == j else (1 - right) / 2 for k in range(3)] for j in range(3)]
    elif number < 19:
        # A fox is a dog to them.
        rows = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.7, 0.2]]
    elif number < 22:
        rows = [[1 / 3] * 3] * 3
    else:
        rows = [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.45, 0.45, 0.1]]
    return part, rows


people = [person(i) for i in range(24)]
truth = [chance.choices(range(3), SHARES)[0] for _ in range(400)]
with open(out / "truth.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "animal"])
    writer.writerows([i, CLASSES[k]] for i, k in enumerate(truth))
with open(out / "answers.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id"] + [f"person{i + 1}" for i in range(24)])
    for i, k in enumerate(truth):
        answers = []
        for part, rows in people:
            said = CLASSES[chance.choices(range(3), rows[k])[0]]
            answers.append(said if chance.random() < part else "")
        if not any(answers):
            answers[0] = CLASSES[k]
        writer.writerow([i] + answers)
