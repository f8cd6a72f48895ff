// Package cpu says which kernels this CPU can run, and lets the environment choose lower ones for a test.
//
//	SEMANTIC_ID_CPU=generic|avx2|avx512          the highest level to use; one the CPU lacks changes nothing
//	SEMANTIC_ID_REQUIRE_CPU=generic|avx2|avx512  tests fail unless this level is in use
//
// Codes do not depend on the level, only the time they take does.
package cpu

import (
	"fmt"
	"os"
	"sync/atomic"
)

// Level is a set of instructions that kernels are written for; a higher one includes the lower.
type Level int32

const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2, FMA and BMI1
	AVX512               // AVX-512 F, DQ, BW and VL, BMI2, and all of AVX2
)

var names = [...]string{Generic: "generic", AVX2: "avx2", AVX512: "avx512"}

// String returns the name that the environment variables use.
func (l Level) String() string { return names[l] }

// Parse returns the level called name.
func Parse(name string) (Level, error) {
	for l, n := range names {
		if n == name {
			return Level(l), nil
		}
	}
	return Generic, fmt.Errorf("%q is not a CPU level; want generic, avx2 or avx512", name)
}

var (
	supported = detect()
	level     atomic.Int32
	vnni      atomic.Bool
	envErr    error
)

func init() {
	l, err := choose(supported, os.Getenv("SEMANTIC_ID_CPU"))
	envErr = err
	level.Store(int32(l))
	vnni.Store(hasVNNI())
}

// choose returns the level to use where have is the highest possible and limit is the value of SEMANTIC_ID_CPU.
func choose(have Level, limit string) (Level, error) {
	if limit == "" {
		return have, nil
	}
	l, err := Parse(limit)
	if err != nil {
		return have, fmt.Errorf("SEMANTIC_ID_CPU: %w", err)
	}
	return min(have, l), nil
}

// Use returns the level that kernels are to use.
func Use() Level { return Level(level.Load()) }

// Supported returns the highest level this CPU, its operating system and this build can run.
func Supported() Level { return supported }

// Err returns what is wrong with SEMANTIC_ID_CPU, nil if nothing is. The variable has then had no effect.
func Err() error { return envErr }

// Require returns an error unless the level in use is at least the one SEMANTIC_ID_REQUIRE_CPU names, if it names one.
// Tests call it, so that a run meant to cover a level cannot pass without it.
func Require() error { return require(Use(), os.Getenv("SEMANTIC_ID_REQUIRE_CPU")) }

func require(have Level, name string) error {
	if name == "" {
		return nil
	}
	want, err := Parse(name)
	if err != nil {
		return fmt.Errorf("SEMANTIC_ID_REQUIRE_CPU: %w", err)
	}
	if have < want {
		return fmt.Errorf("SEMANTIC_ID_REQUIRE_CPU asks for %v, but kernels run at %v", want, have)
	}
	return nil
}

// VNNI says whether kernels are to use AVX512_VNNI: where the CPU has it and AVX512 is in use. It is no level of its own,
// as few kernels gain from it.
func VNNI() bool { return vnni.Load() && Use() == AVX512 }

// SetForTest makes kernels use l, which must be supported, until the returned function is called. Not for concurrent use.
func SetForTest(l Level) (restore func()) {
	if l > supported {
		panic(fmt.Sprintf("cpu: this CPU has no %v", l))
	}
	old := level.Swap(int32(l))
	return func() { level.Store(old) }
}

// SetVNNIForTest turns AVX512_VNNI on, if the CPU has it, or off, until the returned function is called. Not for
// concurrent use.
func SetVNNIForTest(on bool) (restore func()) {
	old := vnni.Swap(on && hasVNNI())
	return func() { vnni.Store(old) }
}
