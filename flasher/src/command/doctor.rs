//! `flasher doctor`, and the same engine after a mismatch.

use esp32_flasher::{
    diagnose::{Diagnosis, Evidence, decide},
    flash::{EraseError, ScratchReport},
    identity::Identity,
    write::Image,
};

use super::board::Board;
use crate::{
    args::DoctorArgs,
    failure::Failure,
    report::{Event, Report},
};

pub(super) fn run(
    board: &mut Board,
    args: &DoctorArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    let identity = board.attach()?;
    let evidence = board.session.examine(&board.chip, &identity, None, args.probe)?;
    tell(&evidence, report).map(drop)
}

/// Says why the flash does not hold the image that `offset` is in; the diagnosis, unless `offset`
/// is in none.
pub(super) fn explain(
    board: &mut Board,
    identity: &Identity,
    images: &[Image],
    offset: u32,
    report: &mut Report,
) -> Result<Option<Diagnosis>, Failure> {
    let range = |image: &Image| {
        let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
        image.offset..image.offset.saturating_add(len)
    };
    let Some(image) = images.iter().find(|image| range(image).contains(&offset)) else {
        return Ok(None);
    };
    let range = range(image);
    let mut evidence = board.session.examine(&board.chip, identity, Some(range), None)?;
    evidence.differences = board.session.compare(image)?;
    tell(&evidence, report).map(Some)
}

/// Says why an erase was refused; the failure with its diagnosis.
pub(super) fn explain_erase(
    board: &mut Board,
    identity: &Identity,
    error: EraseError,
    report: &mut Report,
) -> Result<Failure, Failure> {
    let EraseError::Refused { offset, len, latch_kept, .. } = error else {
        return Ok(error.into());
    };
    let range = offset..offset.saturating_add(len);
    let mut evidence = board.session.examine(&board.chip, identity, Some(range), None)?;
    evidence.scratch = Some(ScratchReport::refused_erase(offset, latch_kept));
    let diagnosis = tell(&evidence, report)?;
    Ok(Failure::Explained { error: error.into(), diagnosis: diagnosis.into() })
}

fn tell(evidence: &Evidence, report: &mut Report) -> Result<Diagnosis, Failure> {
    let diagnosis = decide(evidence);
    report.say(&Event::Diagnosis { diagnosis: &diagnosis, evidence })?;
    Ok(diagnosis)
}
