//! An interpreter for the Xtensa LX6 core of the ESP32.
//!
//! It knows a bus and code addresses outside memory, and nothing of ROMs, UARTs or flash. Plain
//! memory lives in [`Memory`] so that loads, stores and fetches hit slices; everything else goes
//! to the embedder's [`Bus`]. [`Cpu::run`] interprets until its budget is used up or one of the
//! [`Stop`]s comes: a call to code that is not in memory (a ROM function to run natively), an
//! exception nobody in memory handles, an interrupt, or the proof that the code waits for input.
//!
//! ```
//! use xtensa::{Cpu, Access, NoBus, Stop};
//!
//! let mut cpu = Cpu::new();
//! cpu.mem.map(0x4008_0000, 0x1000, Access::CODE)?;
//! cpu.mem.map(0x3ffb_0000, 0x1000, Access::DATA)?;
//! let image = xtensa::asm::assemble(
//!     0x4008_0000,
//!     "entry a1, 32
//!      add a2, a2, a3
//!      retw.n",
//! )?;
//! cpu.mem.write(0x4008_0000, &image)?;
//! cpu.reset_frame(0x3ffb_0f00);
//! cpu.begin_call(0x4008_0000, &[40, 2], 0x4000_7c18);
//! let outcome = cpu.run(&mut NoBus, 1000);
//! assert_eq!(outcome.stop, Stop::OutsideRam { pc: 0x4000_7c18 });
//! assert_eq!(cpu.call_result(), 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
pub mod asm;
mod bus;
mod call;
mod cpu;
mod data_access;
mod decode;
mod disasm;
mod exception;
mod exec;
mod float;
mod idle;
mod insn;
mod interrupt;
mod mac16;
mod memory;
mod observe;
mod path;
mod rare;
mod run;
mod special;
mod window;

pub use bus::{Bus, BusFault, NoBus, Width};
pub use cpu::{Cpu, ps};
pub use data_access::DataAccess;
pub use decode::decode;
pub use disasm::disasm;
pub use exception::{Cause, Exception};
pub use insn::{Insn, Op};
pub use memory::{Access, Memory, MemoryError};
pub use observe::Observer;
pub use run::{Outcome, Stop};
pub use special::sr_name;
