// Package cputest runs tests at every level of kernels.
package cputest

import (
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// EachLevel runs f at every level this CPU and build have.
func EachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		t.Run(l.String(), func(t *testing.T) {
			defer cpu.SetForTest(l)()
			f(t)
		})
	}
}
