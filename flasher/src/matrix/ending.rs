//! What each client leaves behind after a write that went well, by how it ends its session: the
//! ROM's `FLASH_END` protects the whole chip (ROM-FACTS 5.4).

use std::sync::atomic::AtomicBool;

use esp32_emulator::case::{LoadedBoard, bootable};
use serde::Serialize;

use super::{
    ChipState, Client, Ended, Ending, MatrixError,
    measure::{AT, BYTES, Images, in_parallel},
    stage::Stage,
};

/// One client, ended in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndingCell {
    /// The client.
    pub client: String,
    /// What it was told to do at the end.
    pub ending: Ending,
    /// How the write ended.
    pub ended: Ended,
    /// The same in words.
    pub words: String,
    /// The chip afterwards.
    pub after: ChipState,
}

/// Lets every client write a factory-new `part` and end its session in each way that it knows.
///
/// # Errors
///
/// As [`super::measure()`].
pub fn measure_endings(
    part: &str,
    clients: &[Client],
    workers: usize,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(&EndingCell),
) -> Result<Vec<EndingCell>, MatrixError> {
    let images = Images::new()?;
    let order: Vec<(&Client, Ending)> = clients
        .iter()
        .flat_map(|client| client.endings().iter().map(move |ending| (client, *ending)))
        .collect();
    let job = |at: usize| {
        let (client, ending) = *order.get(at)?;
        Some(one(part, client, ending, &images, stop))
    };
    let cells = in_parallel(order.len(), workers, stop, &job, &mut |cell| {
        if let Some(cell) = cell {
            observer(cell);
        }
    })?;
    Ok(cells.into_iter().flatten().collect())
}

fn one(
    part: &str,
    client: &Client,
    ending: Ending,
    images: &Images,
    stop: &AtomicBool,
) -> Result<Option<EndingCell>, MatrixError> {
    let stage = Stage::open(LoadedBoard::with_part(part))?;
    let Some(said) = client.write(&stage, (AT, &images.path(2)), ending, stop)? else {
        return Ok(None);
    };
    let (after, held) = stage.look(AT, bootable(2, BYTES))?;
    let (ended, words) = client.judge(&said, held);
    Ok(Some(EndingCell { client: client.name().to_owned(), ending, ended, words, after }))
}
