//! The frame of all pages: one file, its style inside, no script, nothing fetched. Its policy forbids both, so
//! that foreign text which slips through would still do nothing.

use askama::Template;

use super::plot::{self, PlotError};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The template could not be filled.
    #[error("a page cannot be written")]
    Template(#[from] askama::Error),
    /// A plot could not be drawn.
    #[error("a page's plot cannot be drawn")]
    Plot(#[from] PlotError),
}

#[derive(Template)]
#[template(path = "report/page.html")]
struct Page<'a> {
    title: &'a str,
    dark_plots: String,
    content: &'a str,
}

/// A whole page around `content`, which is HTML.
///
/// # Errors
/// [`PageError::Template`].
pub(super) fn page(title: &str, content: &str) -> Result<String, PageError> {
    let page = Page {
        title,
        dark_plots: plot::dark_rules(),
        content,
    };
    Ok(page.render()?)
}
