//! All boards of a batch, some at a time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use super::{
    BatchError, BatchEvent, BoardError, Outcome, Plan, Record, Summary,
    board::{Job, Known},
    record::Keeper,
};
use crate::port::{Port, PortError};

/// Opens a port by name and rate.
pub type Open<'a> = &'a (dyn Fn(&str, u32) -> Result<Box<dyn Port>, PortError> + Sync);

/// What all workers share.
struct Shared<'a> {
    plan: &'a Plan,
    open: Open<'a>,
    stop: &'a AtomicBool,
    keeper: Keeper,
    next: AtomicUsize,
    /// The first record that could not be kept; ends the batch.
    broken: Mutex<Option<BatchError>>,
}

/// Flashes all boards of a plan.
///
/// Once `stop` is set no more boards are begun; those in work are finished. The events of one board
/// come in order, those of several boards mixed.
///
/// # Errors
///
/// [`BatchError::Record`] if the folder of the records cannot be used. Boards that fail are no
/// error: the summary counts them.
pub fn run(
    plan: &Plan,
    open: Open<'_>,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(&BatchEvent),
) -> Result<Summary, BatchError> {
    let keeper = Keeper::open(plan.record.as_deref(), plan.serial)?;
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(None));
    let shared = Shared { plan, open, stop, keeper, next, broken };
    let mut summary = Summary::default();
    thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        for _ in 0..plan.parallel.min(plan.ports.len()) {
            let sender = sender.clone();
            let shared = &shared;
            scope.spawn(move || shared.work(&sender));
        }
        drop(sender);
        for event in events {
            if let BatchEvent::BoardFinished { outcome, .. } = &event {
                match outcome {
                    Outcome::Done => summary.done += 1,
                    Outcome::Skipped => summary.skipped += 1,
                    _ => summary.failed += 1,
                }
            }
            observer(&event);
        }
    });
    if let Some(error) = shared.broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let ended = summary.done + summary.skipped + summary.failed;
    let all = u32::try_from(plan.ports.len()).unwrap_or(u32::MAX);
    summary.not_started = all.saturating_sub(ended);
    Ok(summary)
}

impl Shared<'_> {
    /// Takes one port after the other.
    fn work(&self, events: &mpsc::Sender<BatchEvent>) {
        while !self.is_stopped() {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(port) = self.plan.ports.get(at) else { return };
            if let Err(error) = self.one(port, events) {
                self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        broken || self.stop.load(Ordering::Relaxed)
    }

    fn one(&self, port: &str, events: &mpsc::Sender<BatchEvent>) -> Result<(), BatchError> {
        // The receiver lives until all workers are gone.
        let tell = |event| drop(events.send(event));
        tell(BatchEvent::BoardStarted { port: port.to_owned() });
        let mut known = Known::default();
        let job = Job { plan: self.plan, keeper: &self.keeper, port, tell: &tell };
        let result = (self.open)(port, crate::session::CONNECT_BAUD)
            .map_err(BoardError::from)
            .and_then(|opened| job.run(opened, &mut known));
        let (outcome, message) = match &result {
            Ok(false) => (Outcome::Done, None),
            Ok(true) => (Outcome::Skipped, None),
            Err(error) => (error.outcome(), Some(error.to_string())),
        };
        let elapsed_s = known.elapsed.as_secs_f64();
        let record = Record {
            version: 1,
            port: port.to_owned(),
            mac: known.mac.map(|mac| mac.to_string()),
            outcome,
            message: message.clone(),
            serial: known.serial,
            content: known.content,
            diagnosis: diagnosis(&result),
            elapsed_s,
        };
        // The record first: what is told as done is done for `resume` too. A record of a board
        // that was done before stays as it is.
        let kept = match outcome {
            Outcome::Skipped => Ok(()),
            _ => self.keeper.keep(&record, known.mac),
        };
        let (port, mac) = (port.to_owned(), known.mac);
        tell(BatchEvent::BoardFinished { port, mac, outcome, message, elapsed_s });
        kept
    }
}

fn diagnosis(result: &Result<bool, BoardError>) -> Option<serde_json::Value> {
    match result {
        Err(
            BoardError::Write { diagnosis: Some(diagnosis), .. }
            | BoardError::Protected { diagnosis: Some(diagnosis), .. },
        ) => serde_json::to_value(diagnosis).ok(),
        _ => None,
    }
}
