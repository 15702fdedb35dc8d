//! Plots of one run over its time: how long sign-ins took, and how often things happened, with faults behind.

use std::collections::BTreeSet;
use std::time::Duration;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::{IntoLogRange as _, LogCoord};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, Cross, PathElement, Polygon, Rectangle, TriangleMarker};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, TRANSPARENT};

use super::{
    Canvas, FAULT, FAULT_LABEL, GRID, Ink, LABEL, PlotError, UNAVAILABLE, drawn, failed, font, ink, write,
};
use crate::report::data::{BindEnd, FaultSpan, Point, RunReport};
use crate::report::group::OutcomeGroup;
use crate::report::text;

/// All plots of a run have the same width and the same time under the same pixel.
const WIDTH: u32 = 960;
/// Left of the plots, for the numbers of the axis: `1 min 40 s` is the longest.
const LEFT: u32 = 84;
/// Right of the plots, for half of the last label.
const RIGHT: u32 = 24;
/// Below the plots, for times.
const BELOW: u32 = 32;
/// One line of faults' labels.
const LANE: u32 = 17;
/// Lines of labels at most; what finds no place there is in the table below.
const LANES_MAX: usize = 3;
/// What lasts longer than a century is drawn as if it did not.
const TIME_MAX: Duration = Duration::from_secs(36_525 * 24 * 3600);

/// A layer of columns: what it is called, its colour, and when it happened.
pub(in crate::report) struct Layer {
    /// For the legend.
    pub(in crate::report) name: &'static str,
    ink: Ink,
    times: Vec<Duration>,
}

impl Layer {
    /// How often it happened.
    pub(in crate::report) fn count(&self) -> u64 {
        self.times.len() as u64
    }

    /// Its mark in a legend.
    ///
    /// # Errors
    /// [`PlotError`].
    pub(in crate::report) fn symbol(&self) -> Result<String, PlotError> {
        let style = self.ink.light.filled();
        drawn((16, 16), |canvas| {
            let square = Rectangle::new([(3, 3), (13, 13)], style);
            canvas.draw(&square).map_err(failed)
        })
    }
}

/// Answers by what they were worth.
pub(in crate::report) fn answers(run: &RunReport) -> Vec<Layer> {
    let layer = |name, group, is_in: fn(OutcomeGroup) -> bool| Layer {
        name,
        ink: ink(group),
        times: (run.series.sign_ins.iter())
            .filter(|point| is_in(point.group()))
            .map(Point::end)
            .collect(),
    };
    vec![
        layer(
            "answered yes or no",
            OutcomeGroup::SignedIn,
            OutcomeGroup::is_judged,
        ),
        layer("told to wait", OutcomeGroup::HeldBack, |group| {
            group == OutcomeGroup::HeldBack
        }),
        layer("unavailable or no answer", OutcomeGroup::Unavailable, |group| {
            matches!(group, OutcomeGroup::Unavailable | OutcomeGroup::Unanswered)
        }),
    ]
}

/// Hand-offs, one layer.
pub(in crate::report) fn hand_offs(run: &RunReport) -> Vec<Layer> {
    vec![Layer {
        name: "handed to another agent",
        ink: super::ACCOUNT_STATE,
        times: run.series.hand_offs.clone(),
    }]
}

/// Lockouts by a directory, one layer.
pub(in crate::report) fn lockouts(run: &RunReport) -> Vec<Layer> {
    vec![Layer {
        name: "locked",
        ink: UNAVAILABLE,
        times: run.series.lockouts.clone(),
    }]
}

/// Binds by what the directory said.
pub(in crate::report) fn binds(run: &RunReport) -> Vec<Layer> {
    let layer = |end: BindEnd| {
        let binds = run.series.binds.iter().filter(|bind| bind.end == end);
        let ink = match end {
            BindEnd::Accepted => super::SIGNED_IN,
            BindEnd::Refused => super::REFUSED,
            BindEnd::Counted => super::HELD_BACK,
            BindEnd::Other => UNAVAILABLE,
        };
        Layer {
            name: end.says(),
            ink,
            times: binds.map(|bind| bind.at).collect(),
        }
    };
    BindEnd::ALL.map(layer).into()
}

/// How long each sign-in took, by when it was sent; a mark for each, with shape and colour of its group. Of a group's
/// marks that lie close to each other some are left out, until there are `marks` at most, if that can be.
///
/// # Errors
/// [`PlotError`].
pub(in crate::report) fn latency(run: &RunReport, marks: usize) -> Result<String, PlotError> {
    let axis = TimeAxis::of(run);
    let labels = axis.labels(&run.faults, true);
    let above = labels.height();
    let size = (WIDTH, 300 + above);
    let points = &run.series.sign_ins;
    let slowest = points.iter().map(|point| point.latency).max();
    let slowest = slowest.unwrap_or_default().min(TIME_MAX);
    let fastest = points.iter().map(|point| point.latency).min();
    let fastest = fastest.unwrap_or_default().as_secs_f64() * 1000.0;
    // Whole decades from below, and one at least; what took less than a millisecond is drawn there.
    let low = 10_f64.powf(fastest.clamp(1.0, 10_000.0).log10().floor());
    let high = (slowest.as_secs_f64() * 1300.0).max(low * 10.0);
    drawn(size, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin_top(above)
            .margin_right(RIGHT)
            .x_label_area_size(BELOW)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..axis.end, (low..high).log_scale())
            .map_err(failed)?;
        shade(&mut chart, &axis, &run.faults, (low, high))?;
        let format = |ms: &f64| text::tick(Duration::from_secs_f64(ms.max(0.0) / 1000.0));
        mesh(&mut chart, &axis, &format)?;
        let pixel = |point: &Point| {
            let ms = point.latency.as_secs_f64() * 1000.0;
            chart.backend_coord(&(axis.at(point.at), ms.clamp(low, high)))
        };
        for group in OutcomeGroup::ALL {
            let mine = points.iter().filter(|point| point.group() == group);
            for pixel in thin(&mine.map(pixel).collect::<Vec<_>>(), marks) {
                mark(canvas, group, pixel, 0)?;
            }
        }
        for point in accused(run) {
            let ring = Circle::new(pixel(point), 9, UNAVAILABLE.light.stroke_width(2));
            canvas.draw(&ring).map_err(failed)?;
        }
        labels.draw(canvas, above)
    })
}

/// The sign-ins that findings are about: ringed, so that they are found.
pub(in crate::report) fn accused(run: &RunReport) -> impl Iterator<Item = &Point> {
    let requests = run.findings.iter().filter_map(|finding| finding.request);
    requests.filter_map(|at| run.series.sign_ins.get(at))
}

/// How often things happened a second, as columns, layers upon each other.
///
/// # Errors
/// [`PlotError`].
pub(in crate::report) fn columns(
    run: &RunReport,
    layers: &[Layer],
    height: u32,
) -> Result<String, PlotError> {
    let axis = TimeAxis::of(run);
    let labels = axis.labels(&run.faults, false);
    let above = labels.height();
    let (width, stacks) = axis.stacks(layers);
    let tallest = stacks.iter().map(|stack| stack.iter().sum::<u64>()).max();
    let seconds = width.as_secs_f64();
    let high = (tallest.unwrap_or(0) as f64 / seconds * 1.08).max(1.0 / seconds);
    drawn((WIDTH, height + above), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin_top(above)
            .margin_right(RIGHT)
            .x_label_area_size(BELOW)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..axis.end, 0.0..high)
            .map_err(failed)?;
        shade(&mut chart, &axis, &run.faults, (0.0, high))?;
        mesh(&mut chart, &axis, &|rate: &f64| text::number(*rate))?;
        let mut columns = Vec::new();
        for (at, stack) in stacks.iter().enumerate() {
            let from = axis.at(width.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX)));
            // A tenth is left between columns.
            let to = (from + 0.9 * seconds / axis.unit).min(axis.end);
            let mut below = 0.0;
            for (layer, count) in layers.iter().zip(stack).filter(|(_, count)| **count > 0) {
                let top = below + *count as f64 / seconds;
                let style = layer.ink.light.filled();
                columns.push(Rectangle::new([(from, below), (to, top)], style));
                below = top;
            }
        }
        chart.draw_series(columns).map_err(failed)?;
        labels.draw(canvas, above)
    })
}

/// The mark of a group, for legends.
///
/// # Errors
/// [`PlotError`].
pub(in crate::report) fn symbol(group: OutcomeGroup) -> Result<String, PlotError> {
    drawn((16, 16), |canvas| mark(canvas, group, (8, 8), 1))
}

/// The shapes differ, so that nobody needs to tell colours apart.
fn mark(canvas: &Canvas<'_>, group: OutcomeGroup, (x, y): (i32, i32), larger: i32) -> Result<(), PlotError> {
    let colour = ink(group).light;
    let size = |size: i32| size + larger;
    let drawn = match group {
        OutcomeGroup::SignedIn => canvas.draw(&Circle::new((x, y), size(2), colour.filled())),
        OutcomeGroup::Refused => canvas.draw(&Circle::new((x, y), size(3), colour.stroke_width(1))),
        OutcomeGroup::AccountState => {
            let half = size(3);
            let corners = [(x - half, y - half), (x + half, y + half)];
            canvas.draw(&Rectangle::new(corners, colour.stroke_width(1)))
        }
        OutcomeGroup::HeldBack => canvas.draw(&TriangleMarker::new((x, y), size(4), colour.filled())),
        OutcomeGroup::Unavailable => {
            let half = size(5);
            let corners = vec![(x, y - half), (x + half, y), (x, y + half), (x - half, y)];
            canvas.draw(&Polygon::new(corners, colour.filled()))
        }
        OutcomeGroup::Unanswered => canvas.draw(&Cross::new((x, y), size(4), colour.stroke_width(2))),
    };
    drawn.map_err(failed)
}

/// One of those that would be drawn upon each other, on a grid as fine as the number of them allows.
fn thin(pixels: &[(i32, i32)], marks: usize) -> Vec<(i32, i32)> {
    let mut kept = Vec::new();
    for grain in [1, 2, 3, 4, 6, 8, 12] {
        let mut taken = BTreeSet::new();
        let first = pixels
            .iter()
            .filter(|(x, y)| taken.insert((x / grain, y / grain)));
        kept = first.copied().collect();
        if kept.len() <= marks {
            break;
        }
    }
    kept
}

/// The time axis of a run, in a unit that gives short numbers.
struct TimeAxis {
    /// Seconds in a unit.
    unit: f64,
    name: &'static str,
    /// In units.
    end: f64,
}

impl TimeAxis {
    /// Until the run's end, and until all that is told of it.
    fn of(run: &RunReport) -> Self {
        let series = &run.series;
        let all = series.sign_ins.iter().map(|point| point.at);
        let all = all.chain(series.hand_offs.iter().copied());
        let all = all.chain(series.binds.iter().map(|bind| bind.at));
        let last = all.chain([run.virtual_duration, Duration::from_secs(1)]).max();
        let seconds = last.unwrap_or_default().min(TIME_MAX).as_secs_f64();
        let (unit, name) = match seconds {
            _ if seconds <= 300.0 => (1.0, "s"),
            _ if seconds <= 5.0 * 3600.0 => (60.0, "min"),
            _ => (3600.0, "h"),
        };
        Self {
            unit,
            name,
            end: seconds / unit,
        }
    }

    fn at(&self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.unit).min(self.end)
    }

    fn pixel(&self, at: f64) -> u32 {
        LEFT + (f64::from(WIDTH - LEFT - RIGHT) * at / self.end) as u32
    }

    /// How wide a column is, and for each column how often each layer happened in it.
    fn stacks(&self, layers: &[Layer]) -> (Duration, Vec<Vec<u64>>) {
        /// More would be thinner than their gaps.
        const COLUMNS_MAX: f64 = 180.0;
        let least = self.end * self.unit / COLUMNS_MAX;
        let nice = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].into_iter();
        let width = nice.map(f64::from).find(|width| *width >= least);
        let width = Duration::from_secs_f64(width.unwrap_or(least));
        let place = |at: Duration| (at.as_secs_f64() / width.as_secs_f64()) as usize;
        let last = place(Duration::from_secs_f64(self.end * self.unit));
        let mut stacks = vec![vec![0; layers.len()]; last + 1];
        for (layer, times) in layers.iter().map(|layer| &layer.times).enumerate() {
            for at in times {
                // What ends after the run is told at its end.
                if let Some(count) = stacks
                    .get_mut(place(*at).min(last))
                    .and_then(|stack| stack.get_mut(layer))
                {
                    *count += 1;
                }
            }
        }
        (width, stacks)
    }

    /// Where the faults' labels go. `in_words`: not only their numbers.
    fn labels(&self, faults: &[FaultSpan], in_words: bool) -> Labels {
        let mut labels = Labels::default();
        let mut ends: Vec<u32> = Vec::new();
        let lanes = if in_words { LANES_MAX } else { 2 };
        // Where each has a line of its own, there is room for all of its words.
        let longest = if faults.len() <= lanes { 90 } else { 34 };
        for fault in faults {
            let number = fault.number.to_string();
            let words = if in_words {
                format!("{number} {}", text::short(&text::line(&fault.label), longest))
            } else {
                number.clone()
            };
            // Most letters of the font have less than 7 pixels.
            let width = |text: &str| 8 + 7 * text.chars().count() as u32;
            let begin = self.pixel(self.at(fault.from)).min(WIDTH - width(&words));
            for text in [words, number] {
                let free = (0..lanes).find(|lane| ends.get(*lane).is_none_or(|end| *end <= begin));
                let Some(lane) = free else { continue };
                let end = begin + width(&text);
                match ends.get_mut(lane) {
                    Some(taken) => *taken = end,
                    None => ends.push(end),
                }
                labels.all.push((text, begin, lane));
                break;
            }
        }
        labels.lanes = ends.len();
        labels
    }
}

/// The labels of faults: text, from which pixel on, in which line.
#[derive(Default)]
struct Labels {
    all: Vec<(String, u32, usize)>,
    lanes: usize,
}

impl Labels {
    fn height(&self) -> u32 {
        10 + LANE * self.lanes as u32
    }

    /// The first line stands next to the plot.
    fn draw(&self, canvas: &Canvas<'_>, above: u32) -> Result<(), PlotError> {
        for (text, x, lane) in &self.all {
            let y = above.saturating_sub(4 + LANE * *lane as u32);
            let style = font(&FAULT_LABEL, 12.0, HPos::Left, VPos::Bottom);
            write(canvas, text, (*x as i32 + 2, y as i32), style)?;
        }
        Ok(())
    }
}

/// A plot over time.
trait Height: Ranged<ValueType = f64> + ValueFormatter<f64> {}
impl Height for RangedCoordf64 {}
impl Height for LogCoord<f64> {}

type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

/// Faults, behind everything.
fn shade<Y: Height>(
    chart: &mut Chart<'_, '_, Y>,
    axis: &TimeAxis,
    faults: &[FaultSpan],
    (low, high): (f64, f64),
) -> Result<(), PlotError> {
    for span in faults.iter().flat_map(FaultSpan::spans) {
        let (from, to) = (axis.at(span.from), axis.at(span.to));
        let area = Rectangle::new([(from, low), (to, high)], FAULT.light.mix(0.14).filled());
        let edge = PathElement::new(
            vec![(from, low), (from, high)],
            FAULT.light.mix(0.7).stroke_width(1),
        );
        if to > from {
            chart.draw_series([area]).map_err(failed)?;
        }
        chart.draw_series([edge]).map_err(failed)?;
    }
    Ok(())
}

fn mesh<Y: Height>(
    chart: &mut Chart<'_, '_, Y>,
    axis: &TimeAxis,
    format: &dyn Fn(&f64) -> String,
) -> Result<(), PlotError> {
    let time = |at: &f64| format!("{} {}", text::trimmed(*at, 2), axis.name);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.light)
        .axis_style(GRID.light)
        .x_labels(10)
        .y_labels(5)
        .x_label_style(font(&LABEL, 12.0, HPos::Center, VPos::Top))
        .y_label_style(font(&LABEL, 12.0, HPos::Right, VPos::Center))
        .x_label_formatter(&time)
        .y_label_formatter(format)
        .draw()
        .map_err(failed)
}
