//! An experiment on a terminal: a line for each point, and how to repeat it.

use super::{Experiment, header, not_passed, rows};
use crate::report::Styling;
use crate::report::terminal::{align, indent, table as columns};
use crate::report::text;

/// Its figures as a table: the median over seeds, and the smallest and the largest.
pub fn table(experiment: &Experiment, styling: Styling) -> String {
    let mut to = String::new();
    let mut table = columns();
    let cells = |cells: Vec<String>| cells.iter().map(|cell| text::line(cell)).collect::<Vec<_>>();
    let header = header(experiment);
    let count = header.len();
    table.set_header(cells(header));
    for row in rows(experiment) {
        table.add_row(cells(row));
    }
    (0..count).for_each(|column| align(&mut table, column));
    indent(&mut to, &table, 2);
    if let Some(told) = not_passed(experiment) {
        to.push_str(&format!("\n  {told}\n"));
    }
    let took = format!(
        "{} in {}",
        text::counted(experiment.runs.len() as u64, "run"),
        text::duration(experiment.wall)
    );
    to.push_str(&format!(
        "\n  {took}\n  {}\n",
        styling.soft(&text::line(&experiment.repeat))
    ));
    to
}
