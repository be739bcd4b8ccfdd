"""Tracking one video from its beginning to its end, and writing all that is asked for."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm

from scalor_pyro.cli.tracking.figures import Seen, box_sides, parts_rows, sides_row, stride_rows
from scalor_pyro.cli.tracking.jobs import Ending, Job, is_done
from scalor_pyro.config import config_to_dict
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.plots.report import About, write_report
from scalor_pyro.tracks.annotate import AnnotatedVideo, annotate, rows_of_frames
from scalor_pyro.tracks.finishing import Finished, finish, frame_by_frame, renamed, write_events
from scalor_pyro.tracks.masks import MaskFolder, rename_masks
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.side_by_side import Arrived, Part, parts_of, tracked
from scalor_pyro.tracks.summary import locked, printable, write_summary
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.tracker import Tracked, Tracker, tracker_of
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.video import Chunk, Video


def track_one(trained: TrainedRun, job: Job, how: Options, ending: Ending, options: argparse.Namespace) -> bool:
    """Track one video, write all that is asked for, and print a summary; False if it was interrupted."""
    with locked(options.out, job.name):
        if is_done(job, options, quiet=True):
            print(f"{printable(job.video)}: tracked by another process in the meantime.")
            return True
        tracker, video = tracker_of(trained, job.video, how, pictured=options.player)
        parts = parts_of(tracker, video, options.processes)
        try:
            seen = follow_all(tracker, video, job, ending, parts)
        except KeyboardInterrupt:
            print(f"\nInterrupted: the tracks up to then are in {printable(job.files.parts['mot'])} and beside it.")
            return False
        tracks, events, pictured = seen.tracks(), None, tracker.pictured
        if ending.any:
            finished = finish(*seen.everything(), video.geometry.crop, *ending, tracker.within)
            rewrite(finished, video, job)
            seen.count_finished(finished)
            tracks, events = finished.tracks, finished.linked.events
            pictured = None if pictured is None else renamed(pictured, finished.renaming)
        elif "annotate" in job.further and len(parts) > 1:
            film(tracks, video, job)
        if pictured is not None:
            from scalor_pyro.plots.player import write_player  # draws by matplotlib, which no other output needs

            numbers, frames, inference = pictured
            title = printable(job.video.name)
            write_player(job.further["player"], frames, inference, title=title, numbers=numbers.tolist())
        if "report" in job.further:
            about = About(
                job.video.name,
                f"weights {job.made.weights['name']}",
                job.files.paths["csv"].name,
                (seen.first_frame, seen.last_frame),
            )
            write_report(job.further["report"], tracks, video, about, events, job.units)
        sides = box_sides(tracker.scalor.config, video)
        figures = {**reading_figures(video), "processes": len(parts), "box_sides": [round(side, 2) for side in sides]}
        write_summary(job.summary, job.made, {**figures, **job.units.figures(), **seen.figures()})
    rows = [*seen.rows(), sides_row(sides), *parts_rows(len(parts), options.processes)]
    rows += stride_rows(video.options.stride)
    written = printable(", ".join(map(str, (*job.outputs.values(), job.summary))))
    print(f"{printable(job.video.name)}\n{named_values([*rows, ('files', written)])}")
    return True


def reading_figures(video: Video) -> dict[str, Any]:
    """How a video was read, for the summary."""
    return {"stride": video.options.stride, "reading": config_to_dict(video.options)}


def rewrite(finished: Finished, video: Video, job: Job) -> None:
    """Put the finished tracks in place of those that were written while the video was tracked.

    :raises OutputError: if that fails.
    """
    with job.files as files:
        files.add(finished.tracks, finished.appearance, finished.within)
    if "events" in job.further:
        write_events(job.further["events"], finished.linked.events)
    if "masks" in job.further:
        rename_masks(job.further["masks"], finished.renaming.of)
    if "annotate" in job.further:
        film(finished.tracks, video, job)


def film(tracks: Tracks, video: Video, job: Job) -> None:
    """Show tracks in a video."""
    annotate(video.path, frame_by_frame(tracks), job.further["annotate"], video.options, overwrite=True)


def follow_all(tracker: Tracker, video: Video, job: Job, ending: Ending, parts: Sequence[Part]) -> Seen:
    """Track a video to its end, and write what is found; the video is decoded once, and once more for --annotate if
    tracks are linked or filtered in the end, or if it is tracked by several processes.

    :param parts: of the video; several are tracked side by side.
    :raises KeyboardInterrupt: when asked to stop, after the current chunk is written.
    """
    several = len(parts) > 1
    keep = ending.any or "report" in job.further or ("annotate" in job.further and several)
    seen = Seen(keep, appearance=ending.any)
    with StopRequest() as stop, ExitStack() as writers:
        masks = movie = last = None
        if "annotate" in job.further and not ending.any and not several:
            movie = writers.enter_context(AnnotatedVideo(job.further["annotate"], video, overwrite=True))
        files = writers.enter_context(job.files)
        if "masks" in job.further:
            masks = writers.enter_context(MaskFolder(job.files.folder, job.name, video.geometry, overwrite=True))
        name = printable(video.path.name)
        with tqdm(total=video.expected_frames, desc=name, unit=" frames", leave=False) as bar:
            reading = {"masks": masks is not None, "whole": movie is not None}
            for chunk, found in tracked(tracker, video, job.video, parts, **reading, progress=bar.update):
                files.add(found.tracks, found.appearance, tracker.within)
                if masks is not None:
                    for number, owner in zip(found.numbers, found.segments(), strict=True):
                        masks.add(int(number), owner)
                if movie is not None and chunk is not None:
                    last = add_frames(movie, chunk, found, last)
                seen.add(found)
                bar.set_postfix(objects=f"{seen.objects_per_frame:.1f}", refresh=False)
                if stop.requested:
                    raise KeyboardInterrupt
        job.summary.unlink(missing_ok=True)  # an old one must not vouch for the new files
    return seen


def add_frames(movie: AnnotatedVideo, chunk: Chunk, found: Tracked | Arrived, last: Tracks | None) -> Tracks | None:
    """Annotate the frames of a chunk.

    :param last: rows of the last frame of the chunk before.
    :return: those of this chunk's last frame.
    """
    for frame, rows in zip(chunk.whole, rows_of_frames(found.numbers.tolist(), found.tracks, last), strict=True):
        movie.add(frame, rows)
        last = rows
    return last
