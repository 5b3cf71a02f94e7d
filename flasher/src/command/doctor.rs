//! `flasher doctor`, and the same engine after a mismatch.

use esp32_flasher::{
    diagnose::{Evidence, decide},
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
    tell(&evidence, report)
}

/// Says why the flash does not hold the image that `offset` is in.
pub(super) fn explain(
    board: &mut Board,
    identity: &Identity,
    images: &[Image],
    offset: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let range = |image: &Image| {
        let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
        image.offset..image.offset.saturating_add(len)
    };
    let Some(image) = images.iter().find(|image| range(image).contains(&offset)) else {
        return Ok(());
    };
    let range = range(image);
    let mut evidence = board.session.examine(&board.chip, identity, Some(range), None)?;
    evidence.differences = board.session.compare(image)?;
    tell(&evidence, report)
}

fn tell(evidence: &Evidence, report: &mut Report) -> Result<(), Failure> {
    let diagnosis = decide(evidence);
    Ok(report.say(&Event::Diagnosis { diagnosis: &diagnosis, evidence })?)
}
