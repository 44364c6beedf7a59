//! Tables for a terminal.

/// Formats rows as lines with aligned cells; columns of numbers are right-aligned.
pub(super) fn lines<R: AsRef<[String]>>(rows: &[R], is_figure: impl Fn(usize) -> bool) -> Vec<String> {
    let mut widths = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &R| {
        let cells = row.as_ref().iter().zip(&widths).enumerate();
        let cells: Vec<_> = cells
            .map(|(column, (cell, width))| match is_figure(column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Says which part of the rows is shown, unless all are.
pub(super) fn part(skip: usize, shown: usize, matched: usize) -> String {
    match shown {
        _ if shown == matched => String::new(),
        0 => format!("none shown of {matched}\n"),
        _ => format!("{} to {} of {matched}\n", skip + 1, skip + shown),
    }
}
