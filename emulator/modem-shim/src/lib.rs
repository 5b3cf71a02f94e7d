//! Modem lines for a PTY, by `LD_PRELOAD`.
//!
//! A PTY has no DTR and RTS: `TIOCMGET`, `TIOCMSET`, `TIOCMBIS` and `TIOCMBIC` fail with `ENOTTY`
//! on both ends, so a flashing tool cannot reset a virtual board there. This library replaces
//! `ioctl` and the `open` family of an unmodified, dynamically linked client:
//!
//! * a modem-line request that failed with `ENOTTY` on the emulator's PTY goes to the emulator as
//!   one datagram and is answered by its reply, so the client goes on only after the line has
//!   changed and whatever it wrote before has been read;
//! * opening the PTY raises both lines, as Linux serial drivers do;
//! * opening the alias opens the PTY: some clients only take ports from their own list.
//!
//! Everything else goes to libc untouched. Three environment variables configure it; without
//! them, or when the emulator is gone, calls end as if the library were not there:
//!
//! | variable | value |
//! |---|---|
//! | `MODEM_SHIM_PORT` | path of the PTY, `/dev/pts/N` |
//! | `MODEM_SHIM_SOCKET` | path of the emulator's datagram socket |
//! | `MODEM_SHIM_ALIAS` | path that means the port as well (optional) |
//!
//! A request is three bytes, `[VERSION, set, clear]`, a reply two, `[VERSION, lines]`; bit 0 is
//! DTR, bit 1 RTS. Nothing is allocated and no state is kept between calls, so threads, `fork`,
//! `exec` and clients that close every descriptor are all fine.

#![cfg(target_os = "linux")]

mod exchange;

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    mem,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use exchange::exchange;
use libc::{Ioctl, mode_t};

/// First byte of requests and replies.
const VERSION: u8 = 1;
/// DTR in a request or a reply.
const DTR: u8 = 1;
/// RTS in a request or a reply.
const RTS: u8 = 2;
/// How long a client waits for the emulator's reply before it goes on without. An emulator that has
/// ended refuses at once; one that runs may be seconds late on a loaded machine, and its client must
/// not give a reset sequence up halfway.
const REPLY_TIMEOUT_MS: c_int = 10_000;
/// Longest path plus NUL: the size of `sockaddr_un::sun_path`.
const PATH_MAX_LEN: usize = 108;

/// A path with its NUL, copied once so that a client may change its environment.
type Path = [c_char; PATH_MAX_LEN];

struct Config {
    port: Path,
    socket: Path,
    alias: Option<Path>,
}

static CONFIG: OnceLock<Option<Config>> = OnceLock::new();

fn config() -> Option<&'static Config> {
    let read = || {
        Some(Config {
            port: variable(c"MODEM_SHIM_PORT")?,
            socket: variable(c"MODEM_SHIM_SOCKET")?,
            alias: variable(c"MODEM_SHIM_ALIAS"),
        })
    };
    CONFIG.get_or_init(read).as_ref()
}

/// The value of an environment variable, if it is set and short enough.
fn variable(name: &CStr) -> Option<Path> {
    // SAFETY: `name` ends with NUL; the result is null or points to a string with NUL.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not null, so a string with NUL that nothing changes while the library is set up.
    let value = unsafe { CStr::from_ptr(value) };
    let mut path = [0; PATH_MAX_LEN];
    let bytes = value.to_bytes();
    if bytes.is_empty() || bytes.len() >= path.len() {
        return None;
    }
    for (to, from) in path.iter_mut().zip(bytes) {
        *to = c_char::from_ne_bytes([*from]);
    }
    Some(path)
}

/// Reads the configuration before the client runs.
extern "C" fn initialize() {
    config();
    for function in [&IOCTL, &OPEN, &OPEN64, &OPENAT, &OPENAT64] {
        function.get();
    }
}

#[used]
#[cfg_attr(not(test), unsafe(link_section = ".init_array"))]
static INITIALIZE: extern "C" fn() = initialize;

/// The next definition of a function: libc's, or that of another preloaded library.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn get(&self) -> Option<*mut c_void> {
        let mut address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            // SAFETY: the name ends with NUL.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Ordering::Relaxed);
        }
        (!address.is_null()).then_some(address)
    }
}

static IOCTL: Next = Next::new(c"ioctl");
static OPEN: Next = Next::new(c"open");
static OPEN64: Next = Next::new(c"open64");
static OPENAT: Next = Next::new(c"openat");
static OPENAT64: Next = Next::new(c"openat64");

// `ioctl`, `open` and `openat` are variadic in C. Stable Rust cannot define variadic functions,
// but on the Linux ABIs of x86-64, AArch64 and RISC-V an integer argument travels in the same
// register whether it is variadic or not.
type IoctlFn = unsafe extern "C" fn(c_int, Ioctl, *mut c_void) -> c_int;
type OpenFn = unsafe extern "C" fn(*const c_char, c_int, mode_t) -> c_int;
type OpenAtFn = unsafe extern "C" fn(c_int, *const c_char, c_int, mode_t) -> c_int;

fn errno() -> c_int {
    // SAFETY: needs nothing.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: always a valid pointer to this thread's errno.
    unsafe { *place }
}

fn set_errno(value: c_int) {
    // SAFETY: needs nothing.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: always a valid pointer to this thread's errno.
    unsafe { *place = value }
}

/// Replaces libc's `ioctl`.
///
/// # Safety
///
/// As `ioctl(2)`: `argument` is what `request` asks for.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: Ioctl, argument: *mut c_void) -> c_int {
    let Some(address) = IOCTL.get() else {
        // SAFETY: the same call, straight to the kernel.
        let result = unsafe { libc::syscall(libc::SYS_ioctl, fd, request, argument) };
        return c_int::try_from(result).unwrap_or(-1);
    };
    // SAFETY: the address is that of `ioctl`.
    let next = unsafe { mem::transmute::<*mut c_void, IoctlFn>(address) };
    // SAFETY: the caller's arguments, handed on.
    let result = unsafe { next(fd, request, argument) };
    if result != -1 || errno() != libc::ENOTTY || argument.is_null() {
        return result;
    }
    // SAFETY: not null; these four requests all take a pointer to an int.
    let done = unsafe { modem_request(fd, request, argument.cast()) };
    if done.is_some() {
        return 0;
    }
    set_errno(libc::ENOTTY);
    result
}

/// Does a modem-line request that the kernel refused; `None` if it is none, if `fd` is not the
/// emulator's PTY or if the emulator does not answer.
///
/// # Safety
///
/// If `request` is one of the four, `bits` points to an int.
unsafe fn modem_request(fd: c_int, request: Ioctl, bits: *mut c_int) -> Option<()> {
    let both = libc::TIOCM_DTR | libc::TIOCM_RTS;
    let known =
        matches!(request, libc::TIOCMGET | libc::TIOCMSET | libc::TIOCMBIS | libc::TIOCMBIC);
    if !known || !is_port(fd) {
        return None;
    }
    // SAFETY: the caller's promise.
    let asked = if request == libc::TIOCMGET { 0 } else { unsafe { bits.read() } };
    let (set, clear) = match request {
        libc::TIOCMSET => (asked, !asked & both),
        libc::TIOCMBIS => (asked, 0),
        libc::TIOCMBIC => (0, asked),
        _ => (0, 0),
    };
    let lines = exchange(to_lines(set), to_lines(clear))?;
    if request == libc::TIOCMGET {
        // SAFETY: the caller's promise.
        unsafe { bits.write(from_lines(lines)) };
    }
    Some(())
}

fn to_lines(bits: c_int) -> u8 {
    let dtr = if bits & libc::TIOCM_DTR == 0 { 0 } else { DTR };
    let rts = if bits & libc::TIOCM_RTS == 0 { 0 } else { RTS };
    dtr | rts
}

fn from_lines(lines: u8) -> c_int {
    let dtr = if lines & DTR == 0 { 0 } else { libc::TIOCM_DTR };
    let rts = if lines & RTS == 0 { 0 } else { libc::TIOCM_RTS };
    dtr | rts
}

/// Whether `fd` is the emulator's PTY, by device number: links and aliases do not matter.
fn is_port(fd: c_int) -> bool {
    let Some(config) = config() else { return false };
    // SAFETY: `stat` is plain data for which zeros are a value.
    let mut ours: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut port: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `ours` is a `stat` to write to; a bad `fd` is an error.
    let fd_ok = unsafe { libc::fstat(fd, &raw mut ours) } == 0;
    // SAFETY: the path ends with NUL, `port` is a `stat` to write to.
    let port_ok = unsafe { libc::stat(config.port.as_ptr(), &raw mut port) } == 0;
    fd_ok && port_ok && ours.st_mode & libc::S_IFMT == libc::S_IFCHR && ours.st_rdev == port.st_rdev
}

/// The path to open in place of `path`.
///
/// # Safety
///
/// `path` is null or points to a string with NUL.
unsafe fn resolve(path: *const c_char) -> *const c_char {
    let Some(Config { port, alias: Some(alias), .. }) = config() else { return path };
    if path.is_null() {
        return path;
    }
    // SAFETY: both are strings with NUL.
    let same = unsafe { libc::strcmp(path, alias.as_ptr()) } == 0;
    if same { port.as_ptr() } else { path }
}

/// Raises both lines if the descriptor just opened is the port; gives the descriptor back.
fn opened(fd: c_int) -> c_int {
    if fd >= 0 {
        let before = errno();
        if is_port(fd) {
            // An emulator that does not answer is no reason to fail an open.
            let _ = exchange(DTR | RTS, 0);
        }
        set_errno(before);
    }
    fd
}

/// # Safety
///
/// As `open(2)`, for the function that `next` names.
unsafe fn open_next(next: &Next, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's path.
    let path = unsafe { resolve(path) };
    let fd = if let Some(address) = next.get() {
        // SAFETY: `next` names a function of this type.
        let next = unsafe { mem::transmute::<*mut c_void, OpenFn>(address) };
        // SAFETY: the caller's arguments, handed on.
        unsafe { next(path, flags, mode) }
    } else {
        // SAFETY: the same call, straight to the kernel.
        unsafe { open_raw(libc::AT_FDCWD, path, flags, mode) }
    };
    opened(fd)
}

/// # Safety
///
/// As `openat(2)`, for the function that `next` names.
unsafe fn openat_next(
    next: &Next,
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller's path.
    let path = unsafe { resolve(path) };
    let fd = if let Some(address) = next.get() {
        // SAFETY: `next` names a function of this type.
        let next = unsafe { mem::transmute::<*mut c_void, OpenAtFn>(address) };
        // SAFETY: the caller's arguments, handed on.
        unsafe { next(dir, path, flags, mode) }
    } else {
        // SAFETY: the same call, straight to the kernel.
        unsafe { open_raw(dir, path, flags, mode) }
    };
    opened(fd)
}

/// # Safety
///
/// As `openat(2)`.
unsafe fn open_raw(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    let fd = unsafe { libc::syscall(libc::SYS_openat, dir, path, flags, c_uint::from(mode)) };
    c_int::try_from(fd).unwrap_or(-1)
}

/// Replaces libc's `open`.
///
/// # Safety
///
/// As `open(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { open_next(&OPEN, path, flags, mode) }
}

/// Replaces libc's `open64`.
///
/// # Safety
///
/// As `open(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { open_next(&OPEN64, path, flags, mode) }
}

/// Replaces libc's checked `open`, which takes no mode.
///
/// # Safety
///
/// As `open(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __open_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { open_next(&OPEN, path, flags, 0) }
}

/// Replaces libc's checked `open64`, which takes no mode.
///
/// # Safety
///
/// As `open(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { open_next(&OPEN64, path, flags, 0) }
}

/// Replaces libc's `openat`.
///
/// # Safety
///
/// As `openat(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn openat(
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { openat_next(&OPENAT, dir, path, flags, mode) }
}

/// Replaces libc's `openat64`.
///
/// # Safety
///
/// As `openat(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn openat64(
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { openat_next(&OPENAT64, dir, path, flags, mode) }
}

/// Replaces libc's checked `openat`, which takes no mode.
///
/// # Safety
///
/// As `openat(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __openat_2(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { openat_next(&OPENAT, dir, path, flags, 0) }
}

/// Replaces libc's checked `openat64`, which takes no mode.
///
/// # Safety
///
/// As `openat(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __openat64_2(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    unsafe { openat_next(&OPENAT64, dir, path, flags, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bits() {
        for lines in 0..4 {
            assert_eq!(to_lines(from_lines(lines)), lines);
        }
        assert_eq!(to_lines(libc::TIOCM_CTS | libc::TIOCM_DTR), DTR);
        assert_eq!(from_lines(RTS), libc::TIOCM_RTS);
    }

    #[test]
    fn without_configuration_nothing_is_ours() {
        assert!(config().is_none());
        assert!(!is_port(0));
        assert_eq!(exchange(DTR, 0), None);
        let path = c"/dev/null".as_ptr();
        // SAFETY: a string with NUL.
        assert_eq!(unsafe { resolve(path) }, path);
    }

    #[test]
    fn other_requests_keep_their_error() {
        let mut bits = 0_i32;
        let argument: *mut c_void = (&raw mut bits).cast();
        // SAFETY: a pointer to an int, as TIOCMGET wants it.
        let result = unsafe { ioctl(-1, libc::TIOCMGET, argument) };
        assert_eq!((result, errno()), (-1, libc::EBADF));
    }
}
