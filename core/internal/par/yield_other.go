//go:build !linux

package par

import "runtime"

// yield lets others run on this processor.
func yield() { runtime.Gosched() }

func giveWay() {}

func processor() int { return -1 }

func leave(int) {}
