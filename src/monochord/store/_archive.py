"""`StoreArchive`: the chains' archive in a store: recorded warm-up, then blocks of draws, each committed when it is whole."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from monochord import sampling
from monochord._arviz import flat_attributes
from monochord.continuation import STATISTICS
from monochord.output import TYPES
from monochord.sampling import AbstractArchive, Draws, Segment, Stretch
from monochord.store._layout import UNCONSTRAINED, event_axes, most_held, options_of_run, plain_labels, rows_of
from monochord.store._ledger import FOLDER
from monochord.store._writer import BLOCK, END, JOURNAL, LAYOUT, RunStore
from monochord.store._zarr import ArrayWriter, read_rows
from monochord.targets import AbstractTarget, constrain_draws, output_name

JOURNAL_SECONDS = 1.0  # between commits of recorded segments: each costs some milliseconds
X = f"{UNCONSTRAINED}/x"


class StoreArchive(AbstractArchive):
    """Writes what the chains draw.

    `describe` gives the attributes of the output for the draws so far; `most_draws` is the most of each chain.
    """

    def __init__(
        self,
        store: RunStore,
        target: AbstractTarget,
        num_chains: int,
        most_draws: int,
        target_ess: float | int | None,
        describe: Callable[[Draws], dict[str, Any]],
    ):
        self.store, self.options = store, options_of_run(store.root, store.run)
        self.most_held = most_held(num_chains, target.dim, target_ess)
        self._target, self._chains, self._most = target, num_chains, most_draws
        self._describe = describe
        self._arrays = ArrayWriter(store.root)
        self._names = self.options.kept(_quantities(target))
        # along a map, stored draws are not bit for bit those of the chains
        self._reads_back = self.options.keeps_all and target.unmapped is target
        self._replay = self._recorded_segments()
        self._new: list[Segment] = []  # recorded, but not yet committed
        self._committed_at = self._drawn_at = time.perf_counter()
        self._speed = None  # seconds a draw of the fastest segment yet
        self._buffer: list[Segment] = []  # kept draws since the last block
        self._first = 0  # number of the buffer's first draw
        self._done = 0
        layout = store.ledger.last(LAYOUT)
        self._block = layout["block"] if layout is not None else 0
        self._is_laid_out = layout is not None
        self._has_blocks = store.ledger.last(BLOCK) is not None
        self._set_lengths(most_draws)

    def _recorded_segments(self):
        for record in self.store.ledger.records:
            if record["kind"] == JOURNAL and not self._has_any_block():
                yield from self.store.snapshot(record)

    def _has_any_block(self) -> bool:
        return self.store.ledger.last(BLOCK) is not None

    def recorded(self) -> Segment | None:
        return next(self._replay, None)

    def record(self, segment: Segment) -> None:
        now = time.perf_counter()
        spent = (now - self._drawn_at) / segment.x.shape[1]
        self._speed = min(spent, self._speed or spent)
        self._drawn_at = now
        if self._has_blocks:
            return
        self._new.append(segment)
        if now - self._committed_at > JOURNAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what was recorded."""
        if self._new and not self._has_blocks:
            self.store.commit(JOURNAL, snapshot=self._new)
        self._new, self._committed_at = [], time.perf_counter()

    def begin(self) -> None:
        self._buffer, self._first, self._done = [], 0, 0
        if not self._block:
            piece = sampling.piece_draws(self._target.dim)
            length = self.options.block_length(piece, self._chains, self._target.dim, self._speed)
            self._block = min(sampling.agreed(length), -(-self._most // self.options.thin) * self.options.thin)

    def next_cut(self, done: int) -> int:
        return (done // self._block + 1) * self._block

    def stretch(self) -> tuple[Stretch, list[Segment]] | None:
        record = self.store.ledger.last(BLOCK)
        if record is None:
            return None
        stretch = self.store.snapshot(record)
        self._first = self._done = stretch.done
        return stretch, self._held(stretch)

    def keep(self, segment: Segment, done: int, stretch: Callable[[], Stretch] | None) -> None:
        self._buffer.append(segment.without_scores())
        self._done = done
        if stretch is not None and done % self._block == 0:
            state = stretch()
            files = self._write_buffer(state.stride)
            self.store.commit(
                BLOCK, files, snapshot=state, first=self._first, done=done, stride=state.stride,
                attributes=flat_attributes(self._describe(_under_way(state))),
            )  # fmt: skip
            self._has_blocks, self._new = True, []
            self.store.drop_snapshots(BLOCK, but_last=True)
            self.store.drop_snapshots(JOURNAL)
            self._buffer, self._first = [], done

    def finish(self, drawn: Draws, attributes: dict[str, Any]) -> None:
        """Commit the last draws, which need not fill a block, and how the run ended."""
        stretch = drawn.stretch
        assert stretch is not None
        self.flush()
        files = self._write_buffer(stretch.stride) if self._buffer else {}
        flat = flat_attributes(attributes)
        self._set_lengths(stretch.done)
        if self.store.is_writer:
            self._arrays.set_attributes("sample_stats", flat)
        self.store.commit(END, files, snapshot=stretch, done=stretch.done, status=drawn.status, attributes=flat)

    def _write_buffer(self, stride: int) -> dict[str, str]:
        """Write the buffer's draws; the files and their hashes."""
        if not self.store.is_writer:
            return {}
        whole = Segment(*(np.concatenate(fields, axis=1) for fields in zip(*self._buffer, strict=True)))
        values = self._values(Segment(*(rows_of(field, self._first, self.options.thin) for field in whole)))
        if not self._is_laid_out:
            self._lay_out(values)
        place = -(-self._first // self.options.thin)
        for path, rows in values.items():
            if rows.shape[1]:
                self._arrays.write(path, place, rows)
        files = self._arrays.taken()
        if not self._reads_back:
            rows = Segment(*(rows_of(field, self._first, stride) for field in whole))
            files |= self.store.write_snapshot(f"{FOLDER}/held/{self._first:012}.npz", rows)
        return files

    def _values(self, segment: Segment) -> dict[str, np.ndarray]:
        """The stored arrays' paths and their rows for these draws."""
        chains, count, dim = segment.x.shape
        values = {
            f"sample_stats/{theirs}": getattr(segment, ours).astype(TYPES.get(ours, getattr(segment, ours).dtype))
            for ours, theirs in STATISTICS.items()
        }
        if count:
            flat = constrain_draws(self._target, segment.x.reshape(chains * count, dim))
            named = {output_name(name): value for name, value in flat.items()}
            for name in self._names:
                values[f"posterior/{name}"] = named[name].reshape(chains, count, *named[name].shape[1:])
        if self.options.keeps_unconstrained:
            values[X] = self._target.to_unconstrained(segment.x)
        return values

    def _lay_out(self, values: dict[str, np.ndarray]) -> None:
        """Make the arrays. The first block has every row that decides shapes, as its first draw is stored."""
        groups = {name: {} for name in ("posterior", "sample_stats")}
        if self.options.keeps_unconstrained:
            groups[UNCONSTRAINED] = {}
        data = {"observed_data": self._target.observed_data(), "constant_data": self._target.constant_data()}
        data = {group: values for group, values in data.items() if values}
        self._arrays.begin(groups | {group: {} for group in data})
        labels = self._target.output_labels()
        axes = {output_name(name): tuple(names) for name, names in labels.dims.items()}
        length = -(-self._most // self.options.thin)
        for path, rows in values.items():
            name = path.split("/", 1)[1]
            names = ("coordinate",) if path == X else event_axes(name, rows.ndim - 2, axes)
            self._arrays.create(path, rows, length, self._block // self.options.thin, ("chain", "draw", *names))
        for group, arrays in data.items():
            for name, value in arrays.items():
                self._arrays.add(f"{group}/{name}", np.asarray(value), event_axes(name, np.ndim(value), axes))
        self.store.commit(
            LAYOUT, self._arrays.taken(), snapshot={axis: plain_labels(found) for axis, found in labels.coords.items()},
            block=self._block, arrays=list(values), data=list(data), names=list(self._target.names),
        )  # fmt: skip
        self._is_laid_out = True

    def _set_lengths(self, draws: int) -> None:
        """How many draws of each chain others see in the arrays, where there are any yet."""
        layout = self.store.ledger.last(LAYOUT)
        if layout is not None and self.store.is_writer:
            for path in layout["arrays"]:
                self._arrays.set_length(path, -(-draws // self.options.thin))

    def _held(self, stretch: Stretch) -> list[Segment]:
        """The draws that looks need of a former process's."""
        ledger, done, stride = self.store.ledger, stretch.done, stretch.stride
        if self._reads_back:
            fields = {
                ours: read_rows(ledger, f"sample_stats/{theirs}", done, stride) for ours, theirs in STATISTICS.items()
            }
            return [Segment(x=read_rows(ledger, X, done, stride), score=np.zeros((self._chains, 0, 0)), **fields)]
        found = []
        for record in ledger.records:
            if record["kind"] == BLOCK:
                name = f"{FOLDER}/held/{record['first']:012}.npz"
                rows = self.store.read_snapshot(name, record["files"][name])
                first = record["first"] + -record["first"] % record["stride"]
                found.append(
                    Segment(
                        *(field[:, -first % stride // record["stride"] :: stride // record["stride"]] for field in rows)
                    )
                )
        return [segment for segment in found if segment.x.shape[1]]


def _under_way(state: Stretch) -> Draws:
    nothing = Segment(*(np.zeros((len(state.stands.ends.x), 0, 0)) for _ in Segment._fields))
    beginning = state.beginning
    return Draws(
        nothing, state.stands, beginning.warmup, beginning.cost_starts, "under way", beginning.seconds_warmup, state.seconds,
        None, None, state,
    )  # fmt: skip


def _quantities(target: AbstractTarget) -> list[str]:
    """Names of the reported quantities, as in the output."""
    import jax

    x = jax.ShapeDtypeStruct((target.dim,), jax.dtypes.canonicalize_dtype(float))
    return [output_name(name) for name in jax.eval_shape(target.constrain, x)]
