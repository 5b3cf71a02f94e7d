//! `--faults`: a served board under a fault plan.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::fault::{
    board::ServedBoard,
    plan::{FaultPlan, LinkPlan},
};

/// What goes wrong on the board.
#[derive(Debug, Args)]
pub(super) struct FaultArgs {
    /// Let go wrong what this fault plan says (fixtures/faults/ has some); the faults that happened
    /// are counted on the standard error at the end.
    #[arg(long, value_name = "PLAN")]
    faults: Option<PathBuf>,
    /// Another seed than the plan's.
    #[arg(long, value_name = "N", requires = "faults")]
    fault_seed: Option<u64>,
}

impl FaultArgs {
    /// The plan, if there is one.
    pub(super) fn plan(&self) -> Result<Option<FaultPlan>, CliError> {
        let Some(path) = &self.faults else { return Ok(None) };
        let mut plan = FaultPlan::load(path)?;
        plan.seed = self.fault_seed.unwrap_or(plan.seed);
        Ok(Some(plan))
    }

    /// The line's part of the plan with its seed, where only a line can go wrong.
    pub(super) fn link_plan(&self) -> Result<Option<(LinkPlan, u64)>, CliError> {
        let Some(path) = &self.faults else { return Ok(None) };
        let plan = self.plan()?.unwrap_or_default();
        let link = plan.only_link(&path.display().to_string())?;
        Ok(Some((link, plan.seed)))
    }
}

/// Says on the standard error which faults of a plan happened.
#[expect(clippy::print_stderr, reason = "the report of the command")]
pub(super) fn report_faults(board: &mut ServedBoard) {
    let counts = board.counts();
    let all: Vec<_> = counts.happened().map(|(kind, count)| format!("{kind} {count}")).collect();
    if !all.is_empty() {
        eprintln!("faults: {}", all.join(", "));
    }
}
