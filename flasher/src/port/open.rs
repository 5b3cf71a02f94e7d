//! Opening a port by the name that the user gave.

use std::io;

use super::{Port, PortError, serial::SerialPort};

/// Ports with this prefix are boards in process: `virtual:esptool-915`.
pub const VIRTUAL_PREFIX: &str = "virtual:";

/// Opens `name` at `baud`.
///
/// # Errors
///
/// [`PortError::Open`].
pub fn open(name: &str, baud: u32) -> Result<Box<dyn Port>, PortError> {
    if let Some(case) = name.strip_prefix(VIRTUAL_PREFIX) {
        let cause = io::Error::new(io::ErrorKind::Unsupported, format!("no board {case:?} yet"));
        return Err(PortError::Open { name: name.to_owned(), cause });
    }
    Ok(Box::new(SerialPort::open(name, baud)?))
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
