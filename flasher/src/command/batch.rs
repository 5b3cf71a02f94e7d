//! `flasher batch`.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use esp32_flasher::{
    batch::{self, BatchError, Plan},
    port,
    stub::Stub,
};

use crate::{
    args::BatchArgs,
    failure::Failure,
    report::{Event, Report, Table},
};

/// Runs the plan; the exit code says how many boards failed.
pub(super) fn run(
    args: &BatchArgs,
    stub: Option<&Path>,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<u8, Failure> {
    let mut plan = Plan::read(&args.plan).map_err(BatchError::from)?;
    plan.resume = args.resume;
    if let Some(stub) = stub {
        plan.stub = Some(Stub::read(stub)?);
    }
    if plan.record.is_none() {
        let mut folder = args.plan.clone().into_os_string();
        folder.push(".records");
        plan.record = Some(PathBuf::from(folder));
    }
    let mut table = Table::new();
    let mut said = Ok(());
    let summary = batch::run(&plan, &port::open, stop, &mut |event| {
        if said.is_ok() {
            said = report.batch(event, &mut table);
        }
    })?;
    said?;
    let exit = summary.exit_code();
    report.say(&Event::BatchEnded { summary, exit })?;
    Ok(exit)
}
