//! Network ports by name: `rfc2217://HOST:PORT` and `socket://HOST:PORT`, as pyserial writes them.

use std::time::Duration;

/// A port behind a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What is spoken over the connection.
    pub protocol: Protocol,
    /// `HOST:PORT`, for the system's resolver.
    pub peer: String,
    /// Time for the connection and for each answer of the server.
    pub timeout: Duration,
    /// Do not wait until the server says that a line has changed.
    pub ignore_control_answers: bool,
}

/// What is spoken over a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Telnet with the COM-PORT option: rate, format and modem lines.
    Rfc2217,
    /// The bare bytes of the line.
    Socket,
}

/// Not the name of a network port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?}: {problem}")]
pub struct BadAddress {
    /// What was given.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// As pyserial has it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
const TIMEOUT_MAX: Duration = Duration::from_mins(10);
const SCHEMES: [(&str, Protocol); 2] =
    [("rfc2217://", Protocol::Rfc2217), ("socket://", Protocol::Socket)];

impl Address {
    /// The address that `name` means; `None` if it has another form, such as a device's path.
    ///
    /// # Errors
    ///
    /// The name begins like an address and is none.
    pub fn parse(name: &str) -> Result<Option<Self>, BadAddress> {
        let found = SCHEMES
            .iter()
            .find_map(|(scheme, protocol)| Some((*protocol, name.strip_prefix(scheme)?)));
        let Some((protocol, rest)) = found else { return Ok(None) };
        let bad = |problem| BadAddress { name: name.to_owned(), problem };
        let (peer, options) = rest.split_once('?').unwrap_or((rest, ""));
        let peer = peer.strip_suffix('/').unwrap_or(peer);
        let (host, port) = peer.rsplit_once(':').ok_or_else(|| bad("a port is missing"))?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(bad("write HOST:PORT, or [ADDRESS]:PORT for IPv6"));
        }
        let mut address = Self {
            protocol,
            peer: peer.to_owned(),
            timeout: TIMEOUT_DEFAULT,
            ignore_control_answers: false,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            address.option(option).map_err(bad)?;
        }
        Ok(Some(address))
    }

    /// One of pyserial's options.
    fn option(&mut self, option: &str) -> Result<(), &'static str> {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ign_set_control", _) => self.ignore_control_answers = true,
            // Ours listens to what the server tells, and keeps a log of its own.
            ("poll_modem" | "logging", _) => {}
            ("timeout", seconds) => {
                let span = seconds.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                let span = span.filter(|span| !span.is_zero() && *span <= TIMEOUT_MAX);
                self.timeout = span.ok_or("timeout is in seconds, up to 600")?;
            }
            _ => return Err("the options are ign_set_control and timeout=SECONDS"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_pyserial_reads_them() {
        let address = Address::parse("rfc2217://localhost:4000?ign_set_control&timeout=0.5");
        let wanted = Address {
            protocol: Protocol::Rfc2217,
            peer: "localhost:4000".to_owned(),
            timeout: Duration::from_millis(500),
            ignore_control_answers: true,
        };
        assert_eq!(address, Ok(Some(wanted)));
        let address = Address::parse("socket://[::1]:5000/").unwrap().unwrap();
        assert_eq!((address.protocol, &*address.peer), (Protocol::Socket, "[::1]:5000"));
        assert_eq!(Address::parse("/dev/ttyUSB0"), Ok(None));
        assert_eq!(Address::parse("virtual:W25Q32JV"), Ok(None));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for bad in [
            "rfc2217://",
            "rfc2217://host",
            "rfc2217://:4000",
            "socket://host:x",
            "socket://host:70000",
            "rfc2217://host:1?timeout=soon",
            "rfc2217://host:1?timeout=-1",
            "rfc2217://host:1?speed=9600",
        ] {
            assert_eq!(Address::parse(bad).unwrap_err().name, bad);
        }
    }
}
