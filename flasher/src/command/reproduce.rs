//! `flasher reproduce`.

use std::sync::{Arc, atomic::AtomicBool};

use esp32_flasher::{
    exit::Exit,
    reproduce::{self, Play},
};

use crate::{
    args::ReproduceArgs,
    failure::Failure,
    report::{Event, Report},
};

/// Plays a case; [`Exit::Done`] only if everything was seen as the report has it.
pub(super) fn run(
    args: &ReproduceArgs,
    interrupt: Arc<AtomicBool>,
    report: &mut Report,
) -> Result<Exit, Failure> {
    let mut play = Play::load(&args.case, args.hypothesis.as_deref(), interrupt)?;
    report.say(&Event::Case {
        name: &play.story().name,
        title: &play.story().title,
        sources: &play.story().sources,
        seen: play.story().seen.trim(),
        assumed: play.story().assumed.trim(),
        assumption: play.assumption(),
        port: &play.path().display().to_string(),
    })?;
    // Progress and steps go to the same report, one after the other.
    let report = std::cell::RefCell::new(report);
    let mut said = Ok(());
    let agrees = reproduce::play(
        &mut play,
        &mut |progress| report.borrow_mut().progress(progress),
        |step| {
            if said.is_ok() {
                said = report.borrow_mut().say(&Event::Step { step });
            }
        },
    )?;
    said?;
    let (cause, assumption) = (&play.story().cause, play.assumption());
    report.into_inner().say(&Event::Verdict { agrees, cause, assumption })?;
    Ok(if agrees { Exit::Done } else { Exit::Failed })
}
