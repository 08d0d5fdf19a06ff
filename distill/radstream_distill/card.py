"""The model card: `README.md` of a model folder, written from the manifest so that it cannot disagree with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radstream_distill.evaluate import TASKS, Scores

_INTENDED = """\
Labels English chest radiograph reports (findings, impression, addenda) with 13 observations, each not mentioned,
positive, negative or uncertain, and points at the words that each label rests on. It says what the report says, never
what the image shows. It is meant for cohort search, quality measurement and as the fast first stage before a slower
teacher reads the doubtful reports. **It is not a medical device**: no output may decide the care of a patient without
a person's reading.
"""
_LIMITS = """\
* English only, chest radiographs only. Other studies and other languages must not reach it.
* It has read synthetic text alone: the project's own corpus and template sentences. No real patient's text is in the
  weights. The templates were written with an eye on the style of public reports of one hospital network, and on what
  earlier students got wrong there (on `openi-train`, 2,128 reports, and on `openi-dev`), and `openi-dev` chose between
  variants of the training: a score on that collection is a development score, not an unbiased test.
* Uncertainty is its weakest task. Macro averages hide observations with few cells: read the table above.
* Nouns lost to de-identification marks (`XXXX`, `___`), devices above all, are guessed from what is left.
* Reports of other hospitals differ in style: measure on your own reports before use, and refit temperatures and
  thresholds on them.
"""


def _course(training: Mapping[str, Any]) -> str:
    """How the training went, in a sentence."""
    course = f"{training['steps']} steps, seed {training['seed']}"
    if training["went_on"]:
        course = f"student {training['start_version'] or 'of an earlier run'} went on for {course}"
    ensemble = training["ensemble"]
    if not ensemble:
        return course + "."
    return (
        f"{course}, taught beside the labels by the mean of {ensemble['members']} students of"
        f" {ensemble['layers']} x {ensemble['hidden']} ({ensemble['steps']} steps each, no other data), which also"
        f" judged cut and spliced texts ({ensemble['spliced']:.0%}) that have no label."
    )


def _doubt(name: str, doubt: Mapping[str, float]) -> str:
    return (
        f"On {name}, where nothing was fitted: expected calibration error {doubt['ece']:.3f}; of"
        f" {int(doubt['wrong_reports'])} reports with a wrong cell, the 5 / 10 / 20 % with the least sure cell hold"
        f" {doubt['captured_at_5']:.0%} / {doubt['captured_at_10']:.0%} / {doubt['captured_at_20']:.0%}; the thresholds"
        f" escalate {doubt['escalated']:.1%} of the reports and {doubt['wrong_escalated']:.0%} of the wrong ones."
    )


def render(manifest: Mapping[str, Any], reference: Mapping[str, Scores], evidence_read: str = "") -> str:
    """The card of a model folder; `reference` holds the full scores of sets that nothing was fitted on.

    `evidence_read` is what a reader wrote of the evidence of this very version.
    """
    training, calibration = manifest["training"], manifest["calibration"]
    encoder, texts = training["encoder"], training["texts"]
    megabytes = sum(entry["bytes"] for entry in manifest["files"].values()) / 1e6
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        "## Intended use",
        "",
        _INTENDED,
        "## Model",
        "",
        f"DeBERTa-v3 encoder (disentangled attention, {encoder['position_buckets']} position buckets),"
        f" {encoder['layers']} layers x {encoder['hidden']}, {encoder['heads']} heads,"
        f" vocabulary {encoder['vocab_size']}, {training['parameters'] / 1e6:.1f} M"
        " parameters; attention pooling per observation and status.",
        f"Input up to {manifest['max_tokens']} tokens. ONNX, fp32, {megabytes:.1f} MB in all."
        f" Largest logit difference to PyTorch on 500 texts: {training['export_parity']:.1e}.",
        "",
        "## Training",
        "",
        f"{texts['train']} reports and sentences of `distill/corpus` and {training['templates']} sentence"
        f" templates; joins, masked words and typos made on the fly: {_course(training)}"
        f" {texts['validation']} texts chose the checkpoints, {texts['calibration']} others fitted temperatures and"
        " thresholds; no text and no block of twins is shared.",
        f"Configuration `{training['config_sha256'][:12]}`, hashes of every data file in `manifest.json`.",
        "",
        "## Scores",
        "",
        "F1, macro over the observations with at least five such cells, 95 % bootstrap interval over reports.",
        "",
        "| set | texts | " + " | ".join(TASKS) + " | kappa | exact match |",
        "| --- | --- | " + " | ".join("---" for _ in TASKS) + " | --- | --- |",
    ]
    for name, row in manifest["scores"].items():
        if "kappa" not in row:
            continue
        cells = (f"{row[t]:.3f} ({row['interval_95'][t][0]:.3f}-{row['interval_95'][t][1]:.3f})" for t in TASKS)
        lines.append(
            f"| {name} | {row['texts']} | " + " | ".join(cells) + f" | {row['kappa']:.3f} | {row['exact_match']:.3f} |"
        )
    pointing = manifest["scores"]["evidence_on_joined_sentences"]
    lines += [
        "",
        f"Evidence: on joins of held-out sentences the heaviest sentence carries the label in {pointing['right']:.1%}"
        f" of {int(pointing['cells'])} rightly labelled mentions.",
        "",
    ]
    for name, scores in reference.items():
        lines += [f"### {name}, per observation (F1 / cells)", "", "| observation | " + " | ".join(TASKS[:4]) + " |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for observation, row in scores.per_observation.items():
            entries = (f"{row[task]:.2f} / {int(row[f'{task}_cells'])}" for task in TASKS[:4])
            lines.append(f"| {observation} | " + " | ".join(entries) + " |")
        lines.append("")
    lines += [
        "## Confidence and routing",
        "",
        f"Expected calibration error {calibration['ece_before']:.4f} before and {calibration['ece_after']:.4f} after"
        f" temperatures, on the {calibration['texts']} texts they were fitted on. A cell is escalated when its"
        f" confidence is below its threshold: {calibration['reports_escalated']:.1%} of those texts, leaving"
        f" {calibration['residual_error']:.2%} of the other cells wrong. Those texts are harder than real traffic:"
        " expect fewer escalations.",
        "",
    ]
    for name, row in manifest["scores"].items():
        if "doubt" in row:
            lines += [_doubt(name, row["doubt"]), ""]
    if evidence_read:
        lines += ["## Evidence, read by hand", "", evidence_read.strip(), ""]
    lines += ["## Limits", "", _LIMITS]
    return "\n".join(lines)
