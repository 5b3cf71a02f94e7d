//! Flash ESP32 boards over UART; detect, explain and cure SPI flash write protection.
