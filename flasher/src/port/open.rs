//! Opening a port by the name that the user gave.

use std::sync::{Arc, Mutex};

use super::{
    Port, PortError,
    address::{Address, Protocol},
    rfc2217::Rfc2217Port,
    serial::SerialPort,
    socket::SocketPort,
    virtual_board::{VirtualPort, board},
};

/// Ports with this prefix are boards in process: `virtual:CASE`, `virtual:CASE/HYPOTHESIS`, or
/// `virtual:PART` with that flash, factory-new. `#N` behind it gives the chip a MAC of its own.
pub const VIRTUAL_PREFIX: &str = "virtual:";

/// Opens `name` at `baud`: a board in process, `rfc2217://HOST:PORT`, `socket://HOST:PORT`, or the
/// path of a serial device.
///
/// # Errors
///
/// [`PortError::Open`], [`PortError::Board`], [`PortError::Address`], [`PortError::Server`].
pub fn open(name: &str, baud: u32) -> Result<Box<dyn Port>, PortError> {
    if let Some(what) = name.strip_prefix(VIRTUAL_PREFIX) {
        let board = Arc::new(Mutex::new(board(what)?));
        return Ok(Box::new(VirtualPort::new(name, board)));
    }
    Ok(match Address::parse(name)? {
        Some(address) => match address.protocol {
            Protocol::Rfc2217 => Box::new(Rfc2217Port::open(name, &address, baud)?),
            Protocol::Socket => Box::new(SocketPort::open(name, &address, baud)?),
        },
        None => Box::new(SerialPort::open(name, baud)?),
    })
}

/// Names of the serial ports of this machine, with what is known about them.
///
/// # Errors
///
/// [`PortError::Io`] if the system cannot list them.
pub fn list() -> Result<Vec<(String, String)>, PortError> {
    let ports = serialport::available_ports().map_err(|error| PortError::Io(error.into()))?;
    Ok(ports.into_iter().map(|port| (port.port_name, describe(&port.port_type))).collect())
}

fn describe(kind: &serialport::SerialPortType) -> String {
    match kind {
        serialport::SerialPortType::UsbPort(usb) => {
            let product = usb.product.as_deref().unwrap_or("USB");
            format!("{product} ({:04x}:{:04x})", usb.vid, usb.pid)
        }
        serialport::SerialPortType::BluetoothPort => "Bluetooth".into(),
        serialport::SerialPortType::PciPort => "on board".into(),
        serialport::SerialPortType::Unknown => "unknown".into(),
    }
}
