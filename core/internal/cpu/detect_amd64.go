//go:build !noasm

package cpu

import "golang.org/x/sys/cpu"

// detect asks the CPU, and the operating system whether it saves the wide registers (x/sys/cpu checks both).
func detect() Level {
	x := cpu.X86
	switch avx2 := x.HasAVX2 && x.HasFMA && x.HasBMI1; {
	case avx2 && x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasBMI2:
		return AVX512
	case avx2:
		return AVX2
	}
	return Generic
}

func hasVNNI() bool { return cpu.X86.HasAVX512VNNI }
