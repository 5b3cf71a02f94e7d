//! An unmodified interpreter with the library preloaded, on a real PTY.
//!
//! The test plays the emulator: it reads the PTY and answers the line requests.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test says what went wrong")]

use std::{
    env,
    fs::{self, File},
    io::Read,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use tempfile::TempDir;

const ALIAS: &str = "/dev/modem-shim-test-alias";

/// The library, which cargo builds next to this test's folder.
fn library() -> PathBuf {
    let test = env::current_exe().expect("the test knows itself");
    let deps = test.parent().expect("it is in a folder");
    let name = "libmodem_shim.so";
    let found = [deps.join(name), deps.join("..").join(name)].into_iter().find(|p| p.is_file());
    found.expect("cargo builds the library before its tests")
}

struct Emulator {
    master: File,
    port: String,
    socket: UnixDatagram,
    folder: TempDir,
    lines: u8,
    log: Vec<String>,
}

impl Emulator {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a PTY");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let mut termios = tcgetattr(&master).expect("termios");
        termios.make_raw();
        tcsetattr(&master, OptionalActions::Now, &termios).expect("raw");
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).expect("non-blocking");
        let port = ptsname(&master, Vec::new()).expect("ptsname").into_string().expect("text");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("modem")).expect("a socket");
        socket.set_nonblocking(true).expect("non-blocking");
        let master = File::from(master);
        Self { master, port, socket, folder, lines: 0, log: Vec::new() }
    }

    fn socket_path(&self) -> PathBuf {
        self.folder.path().join("modem")
    }

    fn client(&self, script: &str) -> Option<Child> {
        let script = format!("{PRELUDE}\n{script}");
        let mut command = Command::new("python3");
        command.args(["-c", &script, &self.port]).env("LD_PRELOAD", library());
        command.env("MODEM_SHIM_PORT", &self.port).env("MODEM_SHIM_SOCKET", self.socket_path());
        command.env("MODEM_SHIM_ALIAS", ALIAS).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "python3 is needed in CI: {error}");
                eprintln!("\n*** SKIPPED: python3: {error}\n");
                None
            }
        }
    }

    /// Serves `client` until it ends; what it printed.
    fn serve(&mut self, mut client: Child) -> String {
        while client.try_wait().expect("a child").is_none() {
            let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let mut fds = [
                PollFd::new(&self.master, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            poll(&mut fds, Some(&wait)).expect("poll");
            if fds[0].revents().contains(PollFlags::HUP) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            self.read_port();
            self.answer();
        }
        self.read_port();
        let output = client.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the client failed:\n{said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn read_port(&mut self) {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = self.master.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..count]).into_owned();
            match self.log.last_mut() {
                Some(last) if !last.starts_with("lines") => last.push_str(&text),
                _ => self.log.push(text),
            }
        }
    }

    fn answer(&mut self) {
        let mut request = [0; 4];
        while let Ok((3, from)) = self.socket.recv_from(&mut request) {
            // What the client wrote before it asked is in the PTY by now.
            self.read_port();
            self.lines = (self.lines | request[1]) & !request[2];
            self.log.push(format!("lines {}", self.lines));
            self.socket.send_to_addr(&[1, self.lines], &from).expect("the client waits");
        }
    }
}

const PRELUDE: &str = "
import os, sys, fcntl, termios, struct
DTR, RTS = termios.TIOCM_DTR, termios.TIOCM_RTS
def modem(fd, request, bits=0):
    return struct.unpack('i', fcntl.ioctl(fd, request, struct.pack('i', bits)))[0]
def get(fd):
    return modem(fd, termios.TIOCMGET)
def name(bits):
    return ('D' if bits & DTR else '-') + ('R' if bits & RTS else '-')
";

#[test]
fn lines_are_set_cleared_and_read_back() {
    let mut emulator = Emulator::new();
    let script = "
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
said = [name(get(fd))]
modem(fd, termios.TIOCMBIC, DTR); said.append(name(get(fd)))
modem(fd, termios.TIOCMSET, DTR); said.append(name(get(fd)))
modem(fd, termios.TIOCMBIS, RTS); said.append(name(get(fd)))
modem(fd, termios.TIOCMSET, 0); said.append(name(get(fd)))
print(*said)
";
    let Some(client) = emulator.client(script) else { return };
    assert_eq!(emulator.serve(client), "DR -R D- DR --");
}

/// A loaded machine, a slow disk: the emulator may look seconds late. A client that goes on without
/// takes the port for one without lines, gives its reset sequence up in the middle, and the late
/// changes then boot the chip from flash.
#[test]
fn an_emulator_that_looks_late_is_waited_for() {
    let mut emulator = Emulator::new();
    let script = "
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
modem(fd, termios.TIOCMSET, RTS); said = [name(get(fd))]
modem(fd, termios.TIOCMSET, DTR); said.append(name(get(fd)))
print(*said)
";
    let Some(client) = emulator.client(script) else { return };
    wait_for_request(&emulator.socket);
    // Longer than the two seconds that the library used to wait.
    std::thread::park_timeout(Duration::from_millis(2_500));
    assert_eq!(emulator.serve(client), "-R D-");
    assert_eq!(emulator.log, ["lines 3", "lines 2", "lines 2", "lines 1", "lines 1"]);
}

/// Until the client has asked for its first line change.
fn wait_for_request(socket: &UnixDatagram) {
    let wait = Timespec { tv_sec: 30, tv_nsec: 0 };
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&wait)), Ok(1), "the client asks");
}

#[test]
fn lines_and_data_keep_their_order() {
    let mut emulator = Emulator::new();
    let script = "
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
for i in range(500):
    os.write(fd, b'%d;' % i)
    modem(fd, termios.TIOCMSET, DTR if i % 2 else RTS)
";
    let Some(client) = emulator.client(script) else { return };
    emulator.serve(client);
    let mut expected = vec!["lines 3".to_owned()];
    for i in 0..500 {
        expected.push(format!("{i};"));
        expected.push(format!("lines {}", if i % 2 == 1 { 1 } else { 2 }));
    }
    assert_eq!(emulator.log, expected);
}

#[test]
fn the_alias_opens_the_port_and_children_inherit_it_all() {
    let mut emulator = Emulator::new();
    let script = format!(
        "
import subprocess
fd = os.open('{ALIAS}', os.O_RDWR | os.O_NOCTTY)
assert os.ttyname(fd) == sys.argv[1]
modem(fd, termios.TIOCMSET, RTS)
child = 'import fcntl,termios,struct,os;f=open(\"{ALIAS}\",\"rb\",buffering=0);' \\
    'print(struct.unpack(\"i\",fcntl.ioctl(f,termios.TIOCMGET,b\"1234\"))[0]==6)'
said = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True, close_fds=True)
if os.fork() == 0:
    modem(fd, termios.TIOCMSET, DTR)
    os._exit(0)
os.wait()
print(said.stdout.strip(), said.stderr, name(get(fd)))
"
    );
    let Some(client) = emulator.client(&script) else { return };
    assert_eq!(emulator.serve(client), "True  D-");
}

#[test]
fn everything_else_is_left_alone() {
    let mut emulator = Emulator::new();
    let script = "
import errno, pty, tempfile
def error(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
other, _ = pty.openpty()
path = tempfile.mktemp()
made = os.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
print(
    error(get, os.open('/dev/null', os.O_RDONLY)),
    error(get, other),
    error(get, 999),
    error(fcntl.ioctl, fd, 0x5499, b'1234'),
    error(os.open, '/nowhere/at/all', os.O_RDONLY),
    oct(os.fstat(made).st_mode & 0o777),
    struct.unpack('4H', fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))[0],
)
";
    let Some(client) = emulator.client(script) else { return };
    let expected = "ENOTTY ENOTTY EBADF ENOTTY ENOENT 0o640 0";
    assert_eq!(emulator.serve(client), expected);
    assert_eq!(emulator.log, ["lines 3"], "only the open of the port was told");
}

#[test]
fn without_an_emulator_the_kernels_answer_stands() {
    let mut emulator = Emulator::new();
    fs::remove_file(emulator.socket_path()).expect("it was there");
    let script = "
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
try:
    get(fd)
except OSError as e:
    print(e.errno == 25)
";
    let Some(client) = emulator.client(script) else { return };
    assert_eq!(emulator.serve(client), "True");
}

#[test]
fn a_socket_path_that_is_too_long_is_ignored() {
    let mut emulator = Emulator::new();
    let mut client = Command::new("python3");
    client.args(["-c", "print('fine')"]).env("LD_PRELOAD", library());
    client.env("MODEM_SHIM_PORT", Path::new("/dev").join("x".repeat(500)));
    client.env("MODEM_SHIM_SOCKET", "/tmp/".to_owned() + &"y".repeat(500));
    client.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(client) = client.spawn() else { return };
    assert_eq!(emulator.serve(client), "fine");
}
