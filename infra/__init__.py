"""What runs beside the stack: demo data, the local stack, the command line."""
