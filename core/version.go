package core

// Version is the version of the library and of the Python distribution.
const Version = "1.0.0"
