//! A figure against a parameter: a line through the medians, the spread over seeds as whiskers, each run as a dot.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Rectangle, TriangleMarker};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, TRANSPARENT};

use super::{Canvas, GRID, Ink, LABEL, LINES, PlotError, drawn, failed, font};
use crate::report::summary::percentile;
use crate::report::text;

const SIZE: (u32, u32) = (960, 340);
/// All names of values below the axis together, in letters; the table has each whole.
const NAMES_WIDTH: usize = 110;
/// Names below the axis at most; of more, every so many.
const NAMES_MAX: usize = 16;

/// What is drawn.
pub(in crate::report) struct Sweep {
    /// Where values of the parameter stand, and what they are called there. If empty, they are numbers and stand
    /// where they are.
    pub(in crate::report) names: Vec<String>,
    /// What the axis below is.
    pub(in crate::report) parameter: String,
    /// What the axis at the left is.
    pub(in crate::report) metric: String,
    /// One for each value of the second parameter.
    pub(in crate::report) lines: Vec<Line>,
}

/// For each place of the parameter the figures of all seeds, sorted.
pub(in crate::report) type Line = Vec<(f64, Vec<f64>)>;

impl Sweep {
    fn figures(&self) -> impl Iterator<Item = f64> {
        let places = self.lines.iter().flatten();
        places.flat_map(|(_, figures)| figures.iter().copied())
    }

    /// All places, with room at both ends.
    fn width(&self) -> (f64, f64) {
        let places = self.lines.iter().flatten().map(|(place, _)| *place);
        let (low, high) = ends(places).unwrap_or((0.0, 1.0));
        let room = if high > low { (high - low) * 0.06 } else { 0.5 };
        (low - room, high + room)
    }

    /// From zero on, unless all is far from it.
    fn height(&self) -> (f64, f64) {
        let (low, high) = ends(self.figures()).unwrap_or((0.0, 1.0));
        let span = if high > low {
            high - low
        } else {
            high.abs().max(5.0) * 0.2
        };
        let from = if low >= 0.0 && low < 0.5 * high || low == 0.0 {
            0.0
        } else {
            low - 0.1 * span
        };
        // Of nothing but zeros, up to one.
        (from, if high == 0.0 { 1.0 } else { high + 0.1 * span })
    }

    /// What stands below a place.
    fn name(&self, place: f64) -> String {
        let is_whole = |place: f64| (place - place.round()).abs() < 1e-6;
        if self.names.is_empty() {
            // There are no one and a half agents.
            let counts = self.lines.iter().flatten().all(|(place, _)| is_whole(*place));
            return if counts && !is_whole(place) {
                String::new()
            } else {
                text::number(place)
            };
        }
        let whole = is_whole(place) && place >= -0.5;
        let every = self.names.len().div_ceil(NAMES_MAX);
        let name = (place.round() as usize)
            .is_multiple_of(every)
            .then(|| self.names.get(place.round() as usize));
        let name = name.flatten().filter(|_| whole);
        let longest = NAMES_WIDTH / self.names.len().clamp(1, NAMES_MAX);
        name.map_or_else(String::new, |name| text::short(&text::line(name), longest))
    }
}

fn ends(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    numbers.fold(None, |ends, number| match ends {
        None => Some((number, number)),
        Some((low, high)) => Some((f64::min(low, number), f64::max(high, number))),
    })
}

/// Draws it.
///
/// # Errors
/// [`PlotError`].
pub(in crate::report) fn sweep(sweep: &Sweep) -> Result<String, PlotError> {
    let ((left, right), (low, high)) = (sweep.width(), sweep.height());
    drawn(SIZE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin_top(12)
            .margin_right(16)
            .x_label_area_size(48)
            .y_label_area_size(76)
            .build_cartesian_2d(left..right, low..high)
            .map_err(failed)?;
        // Names stand on whole numbers.
        let labels = if sweep.names.is_empty() {
            10
        } else {
            sweep.names.len() * 2 + 2
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.light)
            .axis_style(GRID.light)
            .x_desc(text::line(&sweep.parameter))
            .y_desc(text::line(&sweep.metric))
            .x_labels(labels)
            .y_labels(6)
            .x_label_style(font(&LABEL, 12.0, HPos::Center, VPos::Top))
            .y_label_style(font(&LABEL, 12.0, HPos::Right, VPos::Center))
            .axis_desc_style(font(&LABEL, 13.0, HPos::Center, VPos::Center))
            .x_label_formatter(&|place: &f64| sweep.name(*place))
            .y_label_formatter(&|figure: &f64| text::number(*figure))
            .draw()
            .map_err(failed)?;
        for (at, line) in sweep.lines.iter().enumerate() {
            // Beside each other, so that none hides another.
            let aside = (at as f64 - (sweep.lines.len() as f64 - 1.0) / 2.0) * 6.0;
            draw(canvas, at, line, |place, figure| {
                let (x, y) = chart.backend_coord(&(place, figure));
                (x + aside.round() as i32, y)
            })?;
        }
        Ok(())
    })
}

/// All of a line, with its medians on top.
fn draw(
    canvas: &Canvas<'_>,
    at: usize,
    line: &Line,
    pixel: impl Fn(f64, f64) -> (i32, i32),
) -> Result<(), PlotError> {
    let colour = line_ink(at).light;
    let mut medians = Vec::new();
    for (place, figures) in line {
        let median = percentile(figures, 50);
        let (Some(least), Some(median), Some(most)) = (figures.first(), median, figures.last()) else {
            continue;
        };
        let ends = vec![pixel(*place, *least), pixel(*place, *most)];
        let whisker = PathElement::new(ends, colour.mix(0.8).stroke_width(1));
        canvas.draw(&whisker).map_err(failed)?;
        for figure in figures {
            let run = Circle::new(pixel(*place, *figure), 2, colour.mix(0.4).filled());
            canvas.draw(&run).map_err(failed)?;
        }
        medians.push(pixel(*place, median));
    }
    let through = PathElement::new(medians.clone(), colour.stroke_width(2));
    if medians.len() > 1 {
        canvas.draw(&through).map_err(failed)?;
    }
    medians.into_iter().try_for_each(|place| mark(canvas, at, place))
}

fn line_ink(at: usize) -> Ink {
    let place = at % LINES.len();
    // There is no other place.
    LINES.get(place).copied().unwrap_or(LABEL)
}

/// Shapes change with each line, and differ where colours begin anew.
fn mark(canvas: &Canvas<'_>, at: usize, (x, y): (i32, i32)) -> Result<(), PlotError> {
    let style = line_ink(at).light.filled();
    let drawn = match (at + at / LINES.len()) % 3 {
        0 => canvas.draw(&Circle::new((x, y), 4, style)),
        1 => canvas.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], style)),
        _ => canvas.draw(&TriangleMarker::new((x, y), 5, style)),
    };
    drawn.map_err(failed)
}

/// The mark of a line, for legends.
///
/// # Errors
/// [`PlotError`].
pub(in crate::report) fn symbol(at: usize) -> Result<String, PlotError> {
    drawn((16, 16), |canvas| mark(canvas, at, (8, 8)))
}
