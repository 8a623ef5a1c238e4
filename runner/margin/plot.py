"""The payoff of options at expiry and the requirement, as a picture or in the terminal. Libraries are loaded on use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from runner.margin.options import MULTIPLIER, ExpiryLoss, OptionPosition, lots_needed

FORMATS = (".png", ".svg", ".pdf")
MISSING = "a picture needs the extra `plots`: pip install 'guarded-runner[plots]'"


class PlotError(Exception):
    """A picture that can't be made; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Payoff:
    """Points of the payoff in dollars over the underlying's price, for one root."""

    root: str
    prices: tuple[Decimal, ...]
    values: tuple[Decimal, ...]
    strikes: tuple[Decimal, ...]
    worst: ExpiryLoss
    #: Short calls that shares cover, left out.
    aside: int = 0


def payoff(positions: Sequence[OptionPosition], worst: ExpiryLoss, *, shares: int = 0) -> Payoff:
    """What the options of one root are worth as they expire, premiums left aside.

    The points are the bends: a straight line joins them. With several expirations those count by which the worst was
    found. A short call that shares cover asks for nothing: where something is required such pairs are left aside, and
    else the shares that calls need are drawn with them.
    """
    rows = [row for row in positions if row.root == worst.root]
    lots = min(lots_needed(rows), shares // MULTIPLIER)
    aside = lots if worst.amount else 0
    if aside:
        rows, lots = _uncovered(rows, lots), 0
    rows = _decisive(rows, worst)
    strikes = tuple(sorted({row.strike for row in rows}))
    if not strikes:
        raise PlotError("there are no options to draw")
    span = max(strikes[-1] - strikes[0], strikes[-1] / 10)
    low = max(strikes[0] - span / 2, Decimal(0))
    low = Decimal(0) if worst.price == 0 and worst.amount else low
    prices = (low, *[k for k in strikes if k > low], strikes[-1] + span / 2)
    values = tuple(_value(rows, lots, price) for price in prices)
    return Payoff(worst.root, prices, values, strikes, worst, aside)


def _uncovered(rows: Sequence[OptionPosition], lots: int) -> list[OptionPosition]:
    """The rows less so many short calls, those that expire last first, as the rule has it."""
    left = []
    for row in sorted(rows, key=lambda row: (row.expiry, row.strike), reverse=True):
        taken = min(lots, -row.qty) if row.is_call and row.qty < 0 else 0
        lots -= taken
        if row.qty + taken:
            left.append(OptionPosition(row.symbol, row.qty + taken))
    return left


def _decisive(rows: list[OptionPosition], worst: ExpiryLoss) -> list[OptionPosition]:
    """Those whose least is what is required: of the worst date, with later longs that help, or all that is alive."""
    day = worst.expiry
    if day is None:
        return rows
    own = [row for row in rows if row.expiry == day]
    helped = own + _left_over([row for row in rows if row.expiry > day])
    alive = [row for row in rows if row.expiry >= day]
    return next((found for found in (own, helped, alive) if _least(found) == -worst.amount), own)


def _left_over(later: Sequence[OptionPosition]) -> list[OptionPosition]:
    """Longs that no later short needs: each takes what covers best, the lowest calls and the highest puts."""
    pool: list[OptionPosition] = []
    for day in sorted({row.expiry for row in later}, reverse=True):
        own = [row for row in later if row.expiry == day]
        pool += [row for row in own if row.qty > 0]
        for call in (True, False):
            needed = -sum(row.qty for row in own if row.qty < 0 and row.is_call == call)
            left = []
            for row in sorted((row for row in pool if row.is_call == call), key=_strike, reverse=not call):
                used = min(needed, row.qty)
                needed -= used
                if row.qty > used:
                    left.append(OptionPosition(row.symbol, row.qty - used))
            pool = left + [row for row in pool if row.is_call != call]
    return pool


def _strike(row: OptionPosition) -> Decimal:
    return row.strike


def _least(rows: Sequence[OptionPosition]) -> Decimal | None:
    """The most that is lost, None where that has no bound."""
    if sum(row.qty for row in rows if row.is_call) < 0:
        return None
    return min(_value(rows, 0, price) for price in (Decimal(0), *(row.strike for row in rows)))


def check(path: Path) -> None:
    """Raises PlotError for a name that no picture can have."""
    if path.suffix not in FORMATS:
        raise PlotError(f"{path}: the name must end in {', '.join(FORMATS)}")


def save(drawn: Payoff, path: Path) -> None:
    """Write the picture. Raises PlotError."""
    check(path)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import StrMethodFormatter
    except ImportError:
        raise PlotError(MISSING) from None
    figure = Figure(figsize=(9, 5), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    xs, ys = [float(price) for price in drawn.prices], [float(value) for value in drawn.values]
    axes.plot(xs, ys, color="#1f5fa8", linewidth=2, label="payoff at expiry, premiums left aside")
    axes.axhline(0, color="#888888", linewidth=0.8)
    for number, strike in enumerate(drawn.strikes):
        label = "strikes" if number == 0 else None
        axes.axvline(float(strike), color="#bbbbbb", linewidth=0.8, linestyle=":", label=label)
    if drawn.worst.amount:
        least = -float(drawn.worst.amount)
        axes.axhline(least, color="#b3261e", linewidth=1, linestyle="--", label="requirement")
        axes.plot([float(drawn.worst.price)], [least], "o", color="#b3261e")
        axes.annotate(
            f"worst: {drawn.worst.amount:,f} USD lost at {drawn.worst.price:f}",
            (float(drawn.worst.price), least),
            textcoords="offset points",
            xytext=(8, 8),
            color="#b3261e",
        )
    axes.set_title(title(drawn))
    axes.set_xlabel(f"price of {drawn.root} in USD")
    axes.set_ylabel("USD")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(y=0.12)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise PlotError(f"{path}: can't be written: {error.strerror}") from error


def show(drawn: Payoff, *, width: int = 80, height: int = 18) -> str:
    """The same for a terminal, as text. Raises PlotError."""
    try:
        import plotext
    except ImportError:
        raise PlotError(MISSING) from None
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, height)
    plotext.plot([float(price) for price in drawn.prices], [float(value) for value in drawn.values], marker="braille")
    plotext.hline(-float(drawn.worst.amount))
    plotext.xticks([float(strike) for strike in drawn.strikes], [f"{strike:f}" for strike in drawn.strikes])
    plotext.title(title(drawn))
    plotext.xlabel(f"price of {drawn.root} in USD")
    # Also without colours it ends its lines with codes, which a file or a pipe would keep.
    return "\n".join(line.rstrip() for line in str(plotext.uncolorize(plotext.build())).splitlines())


def title(drawn: Payoff) -> str:
    """What is drawn."""
    day = "" if drawn.worst.expiry is None else f" that expire on {drawn.worst.expiry}"
    aside = f", covered calls left aside: {drawn.aside}" if drawn.aside else ""
    return f"options on {drawn.root}{day}: {drawn.worst.amount:,f} USD required{aside}"


def _value(rows: Sequence[OptionPosition], lots: int, price: Decimal) -> Decimal:
    total: Decimal = lots * price
    for row in rows:
        gain = price - row.strike if row.is_call else row.strike - price
        total += max(gain, Decimal(0)) * row.qty
    return total * MULTIPLIER
