//! Haggle: the program.
