//go:build !amd64 || noasm

package cpu

func detect() Level { return Generic }

func hasVNNI() bool { return false }
