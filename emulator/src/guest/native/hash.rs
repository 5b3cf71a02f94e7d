//! MD5 and inflate functions of the ROM.

use super::{Call, Flow};
use crate::{
    guest::{
        md5::{CONTEXT_BYTES, Context},
        memory::Fault,
    },
    spi::SpiDevice,
};

/// `TINFL_STATUS_BAD_PARAM`.
const BAD_PARAMETER: u32 = 3u32.wrapping_neg();
/// `TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF`.
const LINEAR_OUTPUT: u32 = 4;
/// Words of `tinfl_decompressor` that programs look at: state, and the Adler-32 so far.
const STATE_AT: u32 = 0;
const ADLER_AT: u32 = 28;
/// Longest input or output buffer of one call.
const BUFFER_MAX: u32 = 1 << 20;

fn load<F: SpiDevice>(call: &mut Call<'_, F>, address: u32) -> Result<Context, Fault> {
    let bytes = call.bytes(address, u32::try_from(CONTEXT_BYTES).unwrap_or(0))?;
    bytes.try_into().map(Context::from_bytes).map_err(|_| Fault::load(address))
}

/// `MD5Init(ctx)`.
pub(super) fn md5_init<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let address = call.argument(0)?;
    // The buffer keeps what it held.
    call.store(address, &Context::new().bytes()[..24])?;
    Ok(Flow::Return(address))
}

/// `MD5Update(ctx, data, length)`.
pub(super) fn md5_update<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let (address, data, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let mut context = load(call, address)?;
    match call.cpu.mem.slice(data, len as usize) {
        Some(data) => context.update(data),
        None => context.update(&call.bytes(data, len)?),
    }
    call.store(address, context.bytes())?;
    Ok(Flow::Return(address))
}

/// `MD5Final(digest, ctx)`.
pub(super) fn md5_final<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let (digest, address) = (call.argument(0)?, call.argument(1)?);
    let mut context = load(call, address)?;
    let value = context.finish();
    call.store(address, context.bytes())?;
    call.store(digest, &value)?;
    Ok(Flow::Return(digest))
}

/// `tinfl_decompress(r, in, *in_size, out_start, out_next, *out_size, flags)`.
pub(super) fn tinfl_decompress<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let (decompressor, input, in_size_at) =
        (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let (start, next, out_size_at) = (call.argument(3)?, call.argument(4)?, call.argument(5)?);
    let flags = call.argument(6)?;
    let (in_size, out_size) = (word(call, in_size_at)?, word(call, out_size_at)?);
    let position = next.wrapping_sub(start);
    let whole = position.saturating_add(out_size);
    let wraps = flags & LINEAR_OUTPUT == 0;
    if next < start || whole > BUFFER_MAX || wraps && !whole.is_power_of_two() {
        call.store(in_size_at, &[0; 4])?;
        call.store(out_size_at, &[0; 4])?;
        return Ok(Flow::Return(BAD_PARAMETER));
    }
    let data = call.bytes(input, in_size)?;
    let mut ring = call.bytes(start, whole)?;
    let start_over = word(call, decompressor.wrapping_add(STATE_AT))? == 0;
    let done = call.rom.inflaters.decompress(
        decompressor,
        start_over,
        &data,
        &mut ring,
        position as usize,
        flags,
    );
    call.store(next, &ring[position as usize..position as usize + done.produced])?;
    call.store(in_size_at, &u32::try_from(done.consumed).unwrap_or(0).to_le_bytes())?;
    call.store(out_size_at, &u32::try_from(done.produced).unwrap_or(0).to_le_bytes())?;
    call.store(decompressor.wrapping_add(STATE_AT), &1_u32.to_le_bytes())?;
    call.store(decompressor.wrapping_add(ADLER_AT), &done.adler32.to_le_bytes())?;
    call.cpu.note_effect();
    Ok(Flow::Return(done.status.cast_unsigned()))
}

fn word<F: SpiDevice>(call: &mut Call<'_, F>, address: u32) -> Result<u32, Fault> {
    call.cpu.mem.read_word(address).map_err(|_| Fault::load(address))
}
