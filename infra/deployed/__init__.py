"""The stack as AWS gets it, on one machine: built and deployed by SAM, on an emulator of AWS."""
