//! Write protection, where status registers may be written.

use esp32_flasher::{
    protect::{choices, with_choice},
    status::{Persistence, StatusRegisters},
};

use super::check;
use crate::{
    bench::{Bench, Trouble},
    suite::Outcome,
};

pub(super) fn block_protection(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if !bench.allow_status_writes {
        return Ok(Outcome::Skipped("only with ESP_ALLOW_STATUS_WRITES=1".to_owned()));
    }
    if let Some(why) = bench.protected.clone() {
        return Ok(Outcome::Skipped(why));
    }
    let Some(part) = bench.identity.candidates.first().cloned() else {
        return Ok(Outcome::Skipped("the part is not in the catalogue".to_owned()));
    };
    let before = bench.session.read_registers(&bench.identity, &part)?;
    // The smallest range that holds the scratch sector.
    let sector = bench.scratch.start;
    let holds = choices(&part).into_iter().filter(|choice| choice.range.contains(&sector));
    let Some(choice) = holds.min_by_key(|choice| choice.range.end - choice.range.start) else {
        return Ok(Outcome::Skipped("no range of this part holds the scratch range".to_owned()));
    };
    let wanted = with_choice(&part, &before, &choice).to_status(&part);
    write(bench, wanted)?;
    let refused = bench.session.try_sector(sector);
    let old = bench.status;
    let lifted = bench.put_back_status(old);
    let refused = refused?;
    check(refused.refused(), || format!("under protection: {refused:?}"))?;
    check(lifted?, || "the registers did not hold the protection".to_owned())?;
    let works = bench.session.try_sector(sector)?;
    check(works.works() && works.restored, || format!("without protection: {works:?}"))?;
    Ok(Outcome::Passed)
}

/// Not the volatile copy: not every part has one, and the journal holds the old values.
fn write(bench: &mut Bench, wanted: StatusRegisters) -> Result<(), Trouble> {
    let values: Vec<u8> = wanted.values.into_iter().map_while(|value| value).collect();
    bench.session.write_status_of(&bench.identity, &values, Persistence::NonVolatile)?;
    Ok(())
}
