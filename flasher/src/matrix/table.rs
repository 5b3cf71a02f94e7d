//! The measured cells as tables, and what they say about each client.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Cell, Ended, EndingCell};

/// What the cells of one client come to: names of cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The client.
    pub client: String,
    /// It wrote what it was to write.
    pub verified: Vec<String>,
    /// It lifted a protection that nobody asked it to lift, and said nothing of it.
    pub unlocks_silently: Vec<String>,
    /// It failed and named write protection as the reason.
    pub tells: Vec<String>,
    /// It failed; with its words.
    pub fails: Vec<(String, String)>,
    /// It reported success and the flash does not hold the image.
    pub false_success: Vec<String>,
    /// The chip could be written and is protected afterwards.
    pub leaves_protected: Vec<String>,
    /// It turned quad enable off.
    pub loses_quad_enable: Vec<String>,
}

/// What the cells say about each client, in their order.
#[must_use]
pub fn verdicts(cells: &[Cell]) -> Vec<Verdict> {
    let mut clients: Vec<&String> = Vec::new();
    for cell in cells {
        if !clients.contains(&&cell.client) {
            clients.push(&cell.client);
        }
    }
    clients.into_iter().map(|client| verdict(client, cells)).collect()
}

fn verdict(client: &str, cells: &[Cell]) -> Verdict {
    let own = || cells.iter().filter(|cell| cell.client == client);
    let cases = |holds: &dyn Fn(&Cell) -> bool| -> Vec<String> {
        own().filter(|cell| holds(cell)).map(|cell| cell.case.clone()).collect()
    };
    let fails = |cell: &&Cell| matches!(cell.ended, Ended::Failed | Ended::FailedEarly);
    Verdict {
        client: client.to_owned(),
        verified: cases(&|cell| cell.ended == Ended::Verified),
        unlocks_silently: cases(&Cell::unlocked_silently),
        tells: cases(&|cell| cell.ended == Ended::Told),
        fails: own().filter(fails).map(|cell| (cell.case.clone(), cell.words.clone())).collect(),
        false_success: cases(&|cell| cell.ended == Ended::FalseSuccess),
        leaves_protected: cases(&Cell::left_protected),
        loses_quad_enable: cases(&Cell::lost_quad_enable),
    }
}

/// A Markdown table, a row a case and a column a title. `text` gives a cell that was not measured.
#[must_use]
pub fn markdown(
    cases: &[String],
    titles: &[String],
    cells: &[Cell],
    text: &dyn Fn(&str, &str) -> String,
) -> String {
    let mut table =
        format!("| case | {} |\n|---{}|\n", titles.join(" | "), "|---".repeat(titles.len()));
    for case in cases {
        let row: Vec<String> = titles
            .iter()
            .map(|title| {
                let cell = cells.iter().find(|cell| cell.case == *case && cell.client == *title);
                cell.map_or_else(|| text(case, title), |cell| cell.text().replace('|', "/"))
            })
            .collect();
        let _ = writeln!(table, "| {case} | {} |", row.join(" | "));
    }
    table
}

/// A Markdown table of what the clients leave behind.
#[must_use]
pub fn endings_markdown(cells: &[EndingCell]) -> String {
    let mut table =
        "| client | at the end | result | status | chip |\n|---|---|---|---|---|\n".to_owned();
    for EndingCell { client, ending, words, after, .. } in cells {
        let ending = serde_json::to_value(ending).unwrap_or_default();
        let chip = if after.protected { "**protected**" } else { "open" };
        let ending = ending.as_str().unwrap_or_default();
        let _ =
            writeln!(table, "| {client} | {ending} | {words} | {:#06x} | {chip} |", after.status);
    }
    table
}
