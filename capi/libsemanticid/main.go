//go:build cgo

// Command libsemanticid is the C ABI as a shared library of its own: `make libsemanticid`.
//
// A process that already runs the Python package must not load it too, as there can be only one Go runtime; the package's
// own extension exports the same functions.
package main

import "C"

import _ "github.com/semantic-id/semantic-id/capi"

func main() {}
