//! An interpreter for the Xtensa LX6 core of the ESP32.
//!
//! It knows a bus and a hook for code addresses outside RAM, and nothing of ROMs, UARTs or flash.
